"""Calling WeCom: ``wecom().get(path, ...)``, ``.post(path, body)``, ``.upload(kind, filename, content)``.

Every call goes through the token cache, the governor and the metrics, and ends with the decoded answer or a
:class:`~scrm.wecom.errors.WecomError`. A client is made inside an app context and may then be used from any thread.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

import orjson

from config.settings import Feature, Settings, SettingsError
from scrm.kernel import metrics
from scrm.kernel.clock import utcnow
from scrm.kernel.kept import kept
from scrm.kernel.settings import settings
from scrm.wecom.errors import Deferred, Denied, NotFound, Retryable, Stop, TokenExpired, Unclear, WecomError
from scrm.wecom.governor import Caller, Governor
from scrm.wecom.limits_table import GETTOKEN, Sent
from scrm.wecom.models import Priority
from scrm.wecom.store import SharedStore
from scrm.wecom.tokens import TokenStore
from scrm.wecom.wire import JSON_HEADERS, Params, Wire

EXTENSION = "scrm_wecom"
PATIENCE_SECONDS = 10.0  # how long a call waits for its turn unless its caller says otherwise
UPLOAD_PATHS = {"uploadimg": "media/uploadimg"}
NO_TOKEN_SECONDS = 30.0  # a wrong secret is mended by a person; until then calls are put off this long
TOKEN_PATIENCE_SECONDS = 1.0
TOKEN_LIFE_SECONDS = 7200  # WeCom's usual expires_in, for an answer without one


@dataclass(frozen=True)
class _Request:
    """One call, whatever token it gets; ``counted``: body or parameters, where limits depend on them."""

    method: str
    api: str
    params: Params
    counted: Sent
    sent: dict[str, Any]


@dataclass(frozen=True)
class Client:
    """WeCom as one app sees it. Thread-safe and cheap to copy.

    :param priority: who goes first when limits are short
    :param patience: longest wait for a turn in seconds; beyond it the call is Deferred
    :param read_timeout: seconds to wait for an answer; None: as configured
    :param leave_by: no request leaves after this moment (it is Deferred); None: whenever
    :param stop: set, calls no longer wait for a turn (they are Deferred); None: they always wait
    """

    gateway: AppGateway = field(repr=False)
    priority: Priority = Priority.SYNC
    patience: float = PATIENCE_SECONDS
    read_timeout: float | None = None
    leave_by: datetime | None = None
    stop: threading.Event | None = field(default=None, repr=False)

    @property
    def agent_id(self) -> int:
        """The app's agentid, which WeCom wants to match the token (301002)."""
        return self.gateway.agent_id

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """GET ``/cgi-bin/<path>``; None parameters are left out. Returns the answer with errcode 0."""
        given = [(name, value) for name, value in params.items() if value is not None]
        return self._call("get", path, given, params)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST ``body`` as JSON to ``/cgi-bin/<path>``; returns the answer with errcode 0."""
        return self._call("post", path, [], body, data=orjson.dumps(body), headers=JSON_HEADERS)

    def upload(self, kind: str, filename: str, content: bytes) -> dict[str, Any]:
        """Upload a file: ``image``, ``voice``, ``video``, ``file`` (gives a media_id for 3 days) or ``uploadimg`` (a url)."""
        path = UPLOAD_PATHS.get(kind, "media/upload")
        params = [] if kind in UPLOAD_PATHS else [("type", kind)]
        return self._call("post", path, params, {}, files={"media": (filename, content)})

    def upload_attachment(self, kind: str, scene: int, filename: str, content: bytes) -> dict[str, Any]:
        """Upload an ``image``, ``video`` or ``file`` that is good in one scene only: 1 moments, 2 product album."""
        params = [("media_type", kind), ("attachment_type", scene)]
        return self._call("post", "media/upload_attachment", params, {}, files={"media": (filename, content)})

    def with_options(self, **changes: Any) -> Client:
        """The same app with another priority, patience, read_timeout, leave_by or stop."""
        return replace(self, **changes)

    def _call(self, method: str, api: str, params: Params, counted: Sent, **sent: Any) -> dict[str, Any]:
        request = _Request(method, api, params, counted, sent)
        token = _token(api, self.gateway.tokens.get)
        try:
            return self._once(request, token)
        except TokenExpired:
            again = _token(api, partial(self.gateway.tokens.renew, token))
        # Outside the except: exactly one retry, never a loop (wecom-api.md section 9.3, defect 1).
        return self._once(request, again)

    def _once(self, request: _Request, token: str) -> dict[str, Any]:
        api, sent = request.api, self._timed(request.sent)
        params = [("access_token", token), *request.params]
        with self.gateway.governor.turn(api, self.priority, self.patience, request.counted, self.stop):
            self._still_time(api)
            return self.gateway.measured(api, lambda wire: wire.call(request.method, api, params, **sent))

    def _still_time(self, api: str) -> None:
        """Waiting for a token and a turn may have taken long, or this process was frozen meanwhile."""
        if self.leave_by and utcnow() > self.leave_by:
            raise Deferred(api, None, "it is too late for this call to leave")

    def _timed(self, sent: dict[str, Any]) -> dict[str, Any]:
        if self.read_timeout is None:
            return sent
        return {**sent, "timeout": (self.gateway.timeout[0], self.read_timeout)}


def _token(api: str, source: Callable[[], str]) -> str:
    """A token, or an error that says the call itself never left and may be made later."""
    try:
        return source()
    except (Unclear, Retryable) as error:
        reason = f"no access token: {error.errmsg}"
        problem: WecomError = Retryable(api, None, reason, retry_after=error.retry_after)
    except (Denied, Stop, NotFound) as error:
        reason = f"no access token: {error.errmsg}"
        problem = TokenExpired(api, error.errcode, reason, retry_after=NO_TOKEN_SECONDS)
    raise problem


class AppGateway:
    """What all clients of one app in this process share: token, turns, one connection per thread."""

    def __init__(self, name: str, conf: Settings, store: SharedStore) -> None:
        self.name = name
        self.agent_id = conf.apps[name].agent_id
        self.timeout = (conf.wecom.connect_timeout_seconds, conf.wecom.read_timeout_seconds)
        self._conf = conf
        self._wires = threading.local()
        secret = conf.apps[name].secret.get_secret_value()
        self.digest = _digest(conf.corp.id, secret)
        early = conf.wecom.token_early_seconds
        self.tokens = TokenStore(store, self.digest, self._fetch_token, early)
        self.governor = Governor(store, Caller(_digest(conf.corp.id), name, self.digest), conf.governor)

    @property
    def wire(self) -> Wire:
        """This thread's connection."""
        wire: Wire | None = getattr(self._wires, "wire", None)
        if wire is None:
            conf = self._conf
            secret = conf.apps[self.name].secret.get_secret_value()
            wire = self._wires.wire = Wire(conf.corp.id, secret, conf.wecom.base_url, self.timeout)
        return wire

    def measured(self, api: str, call: Callable[[Wire], dict[str, Any]]) -> dict[str, Any]:
        """Run one request and count it by API and answer."""
        started, outcome = time.perf_counter(), "0"
        try:
            return call(self.wire)
        except WecomError as error:
            outcome = str(error.kind if error.errcode is None else error.errcode)
            raise
        finally:
            metrics.WECOM_CALLS.labels(api, outcome).inc()
            metrics.WECOM_SECONDS.labels(api).observe(time.perf_counter() - started)

    def _fetch_token(self) -> tuple[str, float]:
        with self.governor.turn(GETTOKEN, Priority.WELCOME, TOKEN_PATIENCE_SECONDS):
            metrics.TOKEN_FETCHES.labels(self.name).inc()
            answer = self.measured(GETTOKEN, lambda wire: wire.fetch_access_token())
        return str(answer["access_token"]), float(answer.get("expires_in", TOKEN_LIFE_SECONDS))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


class Gateway:
    """All apps of the running program; made at the first call and kept with the Flask app."""

    def __init__(self, conf: Settings) -> None:
        self.conf = conf
        self._store = SharedStore(conf.redis_url.get_secret_value())
        self._apps: dict[str, AppGateway] = {}
        self._lock = threading.Lock()

    def of_app(self, name: str) -> AppGateway:
        """The gateway of one app; raises SettingsError when no such app is configured."""
        with self._lock:
            if name not in self._apps:
                if name not in self.conf.apps:
                    raise SettingsError(
                        f"apps: there is no app {name!r}; configured are {sorted(self.conf.apps)}"
                    )
                self._apps[name] = AppGateway(name, self.conf, self._store)
            return self._apps[name]


def gateway() -> Gateway:
    """The gateway of the running Flask app; needs an app context."""
    return kept(EXTENSION, lambda: Gateway(settings()))


def wecom(
    app_name: str | None = None,
    priority: Priority = Priority.SYNC,
    *,
    feature: Feature = "externalcontact",
    patience: float = PATIENCE_SECONDS,
) -> Client:
    """A client for ``app_name``, or for the first app that has ``feature``; needs an app context.

    :raises SettingsError: when there is no such app
    """
    name = app_name or settings().app_for(feature)
    return Client(gateway().of_app(name), priority, patience)
