from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from defusedxml.ElementTree import fromstring
from wechatpy.work.crypto import WeChatCrypto

from scrm.sandbox.defaults import (
    DEFAULT_AES_KEY,
    DEFAULT_AGENT_ID,
    DEFAULT_APP_SECRET,
    DEFAULT_CALLBACK_TOKEN,
    DEFAULT_CORP_ID,
)
from scrm.sandbox.testing import running_sandbox

SECOND_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
MAIN = {
    "name": "main",
    "agentid": DEFAULT_AGENT_ID,
    "secret": DEFAULT_APP_SECRET,
    "token": DEFAULT_CALLBACK_TOKEN,
    "aes_key": DEFAULT_AES_KEY,
}


def _app(name: str, agentid: int, **more):
    return {
        "name": name,
        "agentid": agentid,
        "secret": f"{name}-secret",
        "token": name,
        "aes_key": SECOND_KEY,
    } | more


CONFIG = {
    "apps": [
        MAIN,
        _app("second", 1000003),
        _app("bare", 1000004, features=[]),
        _app("foreign", 1000005, trusted_ips=["10.9.9.9"]),
        _app("scoped", 1000006, visible=["staff0001"]),
        _app("system", 1000007, system=True),
    ],
    "limits": {"staff_confirm_seconds": None, "callback_retry_seconds": 0.05},
}


@dataclass
class Wecom:
    """Calls the API as one app does."""

    base_url: str
    secret: str = DEFAULT_APP_SECRET
    token: str = ""
    session: requests.Session = field(default_factory=requests.Session)

    def login(self) -> str:
        answer = self.get("gettoken", corpid=DEFAULT_CORP_ID, corpsecret=self.secret)
        self.token = answer["access_token"]
        return self.token

    def get(self, path: str, **query):
        if path != "gettoken":
            query.setdefault("access_token", self.token)
        return self.session.get(f"{self.base_url}/cgi-bin/{path}", params=query, timeout=10).json()

    def post(self, path: str, **body):
        return self.session.post(
            f"{self.base_url}/cgi-bin/{path}", params={"access_token": self.token}, json=body, timeout=10
        ).json()

    def contact(self, path: str, **body):
        return self.post(f"externalcontact/{path}", **body)

    def upload(self, path: str, content: bytes, name: str = "a.png", part: str = "media", **query):
        return self.session.post(
            f"{self.base_url}/cgi-bin/media/{path}",
            params={"access_token": self.token, **query},
            files={part: (name, content)},
            timeout=10,
        ).json()


class Receiver:
    """A backend that decrypts callbacks with wechatpy and answers as told."""

    def __init__(self, token: str, aes_key: str) -> None:
        self.crypto = WeChatCrypto(token, aes_key, DEFAULT_CORP_ID)
        self.bodies: list[str] = []
        self.requests: list[bytes] = []
        self.paths: list[str] = []
        self.statuses: list[int] = []
        self.echo_suffix = b""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}/wecom/callbacks/main"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def _handler(self):
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def _query(self):
                found = {key: value[0] for key, value in parse_qs(urlsplit(self.path).query).items()}
                return found, (found["msg_signature"], found["timestamp"], found["nonce"])

            def _answer(self, status, body=b""):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                query, signed = self._query()
                echo = receiver.crypto.check_signature(*signed, query["echostr"])
                self._answer(200, echo.encode() + receiver.echo_suffix)

            def do_POST(self):
                _, signed = self._query()
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append(body)
                receiver.paths.append(self.path)
                receiver.bodies.append(receiver.crypto.decrypt_message(body, *signed))
                self._answer(receiver.statuses.pop(0) if receiver.statuses else 200)

        return Handler

    def events(self) -> list[dict[str, str]]:
        """Every body as {tag: text} of its first level."""
        return [{child.tag: child.text or "" for child in fromstring(body)} for body in self.bodies]

    def clear(self) -> None:
        self.bodies.clear()
        self.requests.clear()
        self.paths.clear()
        self.statuses.clear()
        self.echo_suffix = b""

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="session")
def process():
    with running_sandbox(CONFIG) as running:
        yield running


@pytest.fixture
def control(process):
    for app in process.control.reset(seed=7)["apps"]:
        if app["callback_url"]:
            process.control.set_callback(None, app["name"])
    return process.control


@pytest.fixture
def corp(control):
    """5 members in 2 departments, 20 customers, 2 groups of 4, 8 console tags, a kf account."""
    return control.population(
        members=5, customers=20, groups=2, group_size=4, second_follow_share=0, tag_share=0
    )


@pytest.fixture
def wecom(process, control):
    api = Wecom(process.base_url)
    api.login()
    yield api
    api.session.close()


@pytest.fixture
def as_app(process, control):
    """as_app("second") logs in as another app."""
    opened = []

    def login(name: str) -> Wecom:
        api = Wecom(process.base_url, f"{name}-secret")
        api.login()
        opened.append(api)
        return api

    yield login
    for api in opened:
        api.session.close()


@pytest.fixture(scope="session")
def main_receiver():
    receiver = Receiver(DEFAULT_CALLBACK_TOKEN, DEFAULT_AES_KEY)
    yield receiver
    receiver.close()


@pytest.fixture(scope="session")
def other_receiver():
    receiver = Receiver("second", SECOND_KEY)
    yield receiver
    receiver.close()


@pytest.fixture
def inbox(main_receiver, control):
    """The main app's backend, empty and configured."""
    control.wait_callbacks()  # what the last test left on its way belongs to nobody
    main_receiver.clear()
    control.set_callback(main_receiver.url)
    return main_receiver


@pytest.fixture
def second_inbox(other_receiver, control):
    other_receiver.clear()
    control.set_callback(other_receiver.url, "second")
    return other_receiver


@pytest.fixture
def friend(corp, control):
    """(userid, external_userid) of an existing relation."""
    userid = corp["members"][0]
    return userid, control.state("member", userid)["customers"][0]
