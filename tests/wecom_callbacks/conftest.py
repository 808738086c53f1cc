"""Callbacks made for the test app, sent through the whole WSGI application."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from tests.conftest import CORP_ID, TEST_APP
from wecom_callbacks.crypto import CallbackCrypto

URL = "/wecom/callbacks/main"


def xml_of(event: str = "change_external_contact", rest: str = "", created: int = 1700000000) -> str:
    """A plain event body."""
    return (
        f"<xml><ToUserName><![CDATA[{CORP_ID}]]></ToUserName><FromUserName><![CDATA[sys]]></FromUserName>"
        f"<CreateTime>{created}</CreateTime><MsgType><![CDATA[event]]></MsgType>"
        f"<Event><![CDATA[{event}]]></Event>{rest}</xml>"
    )


@dataclass
class Sender:
    """Makes callbacks like WeCom; each part can be made wrong."""

    client: object
    token: str = TEST_APP["token"]
    aes_key: str = TEST_APP["aes_key"]
    receive_id: str = CORP_ID
    url: str = URL

    @property
    def crypto(self) -> CallbackCrypto:
        return CallbackCrypto(self.token, self.aes_key, self.receive_id)

    def query(self, encrypted: bytes, age: float = 0) -> dict[str, str]:
        timestamp, nonce = str(int(time.time() - age)), "263014780"
        signature = self.crypto.signature(timestamp.encode(), nonce.encode(), encrypted)
        return {"msg_signature": signature.decode(), "timestamp": timestamp, "nonce": nonce}

    def envelope(self, encrypted: bytes) -> bytes:
        return (
            b"<xml><ToUserName><![CDATA[x]]></ToUserName><AgentID><![CDATA[1000002]]></AgentID>"
            b"<Encrypt><![CDATA[" + encrypted + b"]]></Encrypt></xml>"
        )

    def post(self, message: str | bytes):
        """A sound callback around ``message``."""
        encrypted = self.crypto.encrypt(message.encode() if isinstance(message, str) else message)
        return self.post_encrypted(encrypted)

    def post_encrypted(self, encrypted: bytes, age: float = 0):
        """A signed callback around any encrypted text."""
        return self.post_raw(self.envelope(encrypted), self.query(encrypted, age))

    def post_raw(self, body: bytes, query: dict[str, str]):
        """Any body with any query."""
        return self.client.post(self.url, data=body, query_string=query, content_type="text/xml")


@pytest.fixture
def sender(app):
    return Sender(app.test_client())
