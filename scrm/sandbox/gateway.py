"""The front door of /cgi-bin/: token, permissions, limits, faults, log. Plain WSGI, because a Flask view
costs more CPU than the answer, and the benches share two cores with the backend."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson

from scrm.sandbox.api.registry import REGISTRY, Api, Call
from scrm.sandbox.call_log import RESULT_BYTES, LogEntry
from scrm.sandbox.errors import WecomError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from scrm.sandbox.api_faults import ApiFault
    from scrm.sandbox.model.world import App
    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]
StartResponse = Any
PREFIX = "/cgi-bin/"
JSON_TYPE = "application/json; charset=UTF-8"
HTML_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
SUCCESS_TEXT = "ok"
MAX_BODY = 24 * 1024 * 1024  # a little over the largest upload, 20 MB
NO_SUCH_API = 404
MISSING_TOKEN, BAD_TOKEN, EXPIRED_TOKEN = 41001, 40014, 42001
UNTRUSTED_IP, NO_PERMISSION, WRONG_METHOD, GET_FOR_POST = 60020, 48002, 40063, 40058
WRONG_JSON = "Warning: wrong json format. "


@dataclass(slots=True)
class Answer:
    """A finished answer: its JSON bytes and what the log needs."""

    errcode: int
    data: bytes
    content_type: str = JSON_TYPE


@dataclass(slots=True)
class Request:
    """What the WSGI environment says about one call."""

    api: str
    method: str
    query: dict[str, str]
    raw: bytes
    ip: str
    environ: Json
    latency: float = 0.0


class Gateway:
    """Answers every path below /cgi-bin/."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Serve this sandbox."""
        self._sandbox = sandbox

    def __call__(self, environ: Json, start_response: StartResponse) -> Iterable[bytes]:
        """WSGI entry."""
        request = _read(environ)
        if self._sandbox.world.clock.skew:
            start_response = _dated(start_response, self._sandbox.world.clock.transport())
        app = self._sandbox.world.tokens.get(request.query.get("access_token", ""))
        name = app[0].config.name if app else None
        fault: ApiFault | None = None
        if self._sandbox.api_faults:
            request.latency, fault = self._sandbox.api_faults.strike(
                request.api, name, self._sandbox.world.clock.now()
            )
        if fault is not None:
            return self._faulty(request, name, fault, start_response)
        return _send(self._handle(request, name, None), start_response)

    def _faulty(
        self, request: Request, name: str | None, fault: ApiFault, start_response: StartResponse
    ) -> Iterable[bytes]:
        faults = self._sandbox.api_faults
        if fault.kind == "errcode":
            answer = _refusal(WecomError(fault.errcode, "injected by the sandbox"), request.ip)
            self._record(request, name, answer, fault.kind)
            return _send(answer, start_response)
        if fault.kind == "html":
            self._record(request, name, Answer(-1, b""), fault.kind)
            start_response("502 Bad Gateway", [("Content-Type", "text/html")])
            return [HTML_PAGE]
        if fault.kind in {"hang", "disconnect"}:
            self._record(request, name, Answer(-1, b""), fault.kind)
            if fault.kind == "hang":
                faults.hold(fault.seconds)
            return _cut(b"", start_response)
        answer = self._handle(request, name, fault.kind)
        if fault.kind == "truncate":
            return _send(Answer(answer.errcode, answer.data[: len(answer.data) // 2]), start_response)
        faults.hold(fault.seconds)
        return _cut(b"", start_response)

    def _handle(self, request: Request, name: str | None, fault: str | None) -> Answer:
        try:
            answer = self._answer(request)
        except WecomError as error:
            answer = _refusal(error, request.ip)
        self._record(request, name, answer, fault)
        return answer

    def _answer(self, request: Request) -> Answer:
        found = REGISTRY.get(request.api)
        if found is None:
            raise WecomError(NO_SUCH_API, "not found: the sandbox has no such API")
        if request.method not in found.methods:
            code = GET_FOR_POST if request.method == "GET" else WRONG_METHOD
            raise WecomError(code, f"{request.api} takes {' or '.join(sorted(found.methods))}")
        limits = self._sandbox.limits
        app = self._authorise(request, found)
        limits.take(request.api, request.ip)
        limits.enter(request.api)
        try:
            if request.latency:
                time.sleep(request.latency)  # inside the concurrency count, as a slow answer would be
            return self._run(request, found, app)
        finally:
            limits.leave(request.api)

    def _authorise(self, request: Request, found: Api) -> App:
        world = self._sandbox.world
        if not found.needs_token:
            return next(iter(world.apps.values()))
        token = request.query.get("access_token")
        if not token:
            raise WecomError(MISSING_TOKEN, "access_token missing")
        entry = world.tokens.get(token)
        if entry is None:
            raise WecomError(BAD_TOKEN, "invalid access_token")
        app, expires = entry
        if world.clock.now() >= expires:
            raise WecomError(EXPIRED_TOKEN, "access_token expired")
        if app.config.trusted_ips is not None and request.ip not in app.config.trusted_ips:
            raise WecomError(UNTRUSTED_IP, "not allow to access from your ip")
        if found.feature is not None and found.feature not in app.config.features:
            raise WecomError(NO_PERMISSION, "api forbidden")
        return app

    def _run(self, request: Request, found: Api, app: App) -> Answer:
        warning = ""
        body: Json = {}
        if request.raw and not found.upload:
            body, warning = _parse(request.raw)
        call = Call(self._sandbox, app, request.query, body, request.ip, request.environ, request.raw)
        try:
            with self._sandbox.world.lock:
                result = found.handler(call)
        except WecomError as error:
            error.text = warning + error.text
            raise
        blob = result.get("_bytes")
        if isinstance(blob, bytes):
            return Answer(0, blob, result["_type"])
        return Answer(0, orjson.dumps({"errcode": 0, "errmsg": SUCCESS_TEXT, **result}))

    def _record(self, request: Request, name: str | None, answer: Answer, fault: str | None) -> None:
        upload = request.environ.get("CONTENT_TYPE", "").startswith("multipart/")
        entry = LogEntry(
            seq=0,
            at=self._sandbox.world.clock.now(),
            app=name or _app_of(self._sandbox, request),
            api=request.api,
            method=request.method,
            errcode=answer.errcode,
            query=request.query,
            body=b'{"bytes":%d}' % len(request.raw) if upload else request.raw,
            result=answer.data if len(answer.data) <= RESULT_BYTES else b"",
            fault=fault,
        )
        self._sandbox.log.add(entry)


def _dated(start_response: StartResponse, at: int) -> StartResponse:
    """WeCom's own time in the Date header, when it differs from this machine's."""
    date = ("Date", formatdate(at, usegmt=True))

    def start(status: str, headers: list[tuple[str, str]]) -> Any:
        return start_response(status, [*headers, date])

    return start


def dispatch(gateway: Gateway, rest: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """A WSGI callable that sends /cgi-bin/ to the gateway and everything else to `rest`."""

    def application(environ: Json, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith(PREFIX):
            return gateway(environ, start_response)
        return rest(environ, start_response)

    return application


def _read(environ: Json) -> Request:
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    raw = b"" if environ["REQUEST_METHOD"] == "GET" else environ["wsgi.input"].read(MAX_BODY)
    return Request(
        environ["PATH_INFO"][len(PREFIX) :].strip("/"),
        environ["REQUEST_METHOD"],
        query,
        raw,
        environ.get("REMOTE_ADDR", "127.0.0.1"),
        environ,
    )


def _parse(raw: bytes) -> tuple[Json, str]:
    """WeCom reads broken JSON as if the fields were missing, and says so in errmsg (§1.2)."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}, WRONG_JSON
    return (body, "") if isinstance(body, dict) else ({}, WRONG_JSON)


def _refusal(error: WecomError, ip: str) -> Answer:
    hint = f"{time.time_ns():x}"
    trail = f"hint: [{hint}], from ip: {ip}, more info at https://open.work.weixin.qq.com/devtool/query?e="
    errmsg = f"{error.text}, {trail}{error.errcode}"
    return Answer(error.errcode, orjson.dumps({**error.extra, "errcode": error.errcode, "errmsg": errmsg}))


def _app_of(sandbox: Sandbox, request: Request) -> str | None:
    secret = request.query.get("corpsecret")
    if secret is None:
        return None
    return next((app.config.name for app in sandbox.world.apps.values() if app.config.secret == secret), None)


def _send(answer: Answer, start_response: StartResponse) -> list[bytes]:
    status = "404 Not Found" if answer.errcode == NO_SUCH_API else "200 OK"
    start_response(status, [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.data)))])
    return [answer.data]


def _cut(data: bytes, start_response: StartResponse) -> Iterator[bytes]:
    """Promise more than is sent: the server must cut the connection, and the client sees a broken answer."""
    start_response("200 OK", [("Content-Type", JSON_TYPE), ("Content-Length", str(len(data) + 1_000))])
    return iter([data])
