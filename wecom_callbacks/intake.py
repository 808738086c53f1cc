"""What happens to a callback before it is answered (design.md section 3): check, open, store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from config.settings import Settings
from scrm.kernel.clock import utcnow
from wecom_callbacks import xml
from wecom_callbacks.committer import NewRow
from wecom_callbacks.crypto import CallbackCrypto
from wecom_callbacks.models import Lane
from wecom_callbacks.refusals import Refusal, Refused

KF_EVENT: Final = b"kf_msg_or_event"
WELCOME: Final = b"<WelcomeCode>"
URGENT: Final = str(Lane.URGENT)
EVENTS: Final = str(Lane.EVENTS)

Query = Mapping[str, bytes]


class Door:
    """Checks and opens the callbacks of all apps of a deployment.

    :ivar apps: name -> keys
    :ivar max_body: largest body in bytes
    """

    def __init__(self, settings: Settings) -> None:
        made = settings.callbacks
        self.max_body = made.max_body_bytes
        self._max_depth = made.max_xml_depth
        self._freshness = made.freshness_seconds
        self.apps = {
            name: CallbackCrypto(
                app.token.get_secret_value(), app.aes_key.get_secret_value(), settings.corp.id
            )
            for name, app in settings.apps.items()
        }

    def crypto(self, app: str) -> CallbackCrypto:
        """The keys of one app; raises Refused (UNKNOWN_APP)."""
        try:
            return self.apps[app]
        except KeyError:
            raise Refused(Refusal.UNKNOWN_APP) from None

    def echo(self, app: str, query: Query) -> bytes:
        """What a URL verification wants to hear (wecom-api.md section 2.4)."""
        crypto = self.crypto(app)
        encrypted = query.get("echostr")
        if encrypted is None:
            raise Refused(Refusal.INCOMPLETE)
        self._check(crypto, query, encrypted)
        return crypto.decrypt(encrypted)

    def open(self, app: str, query: Query, body: bytes) -> NewRow:
        """The row of one callback, everything about it checked.

        :raises Refused: with the first reason in the order of design.md section 3.2
        """
        crypto = self.crypto(app)
        if len(body) > self.max_body:
            raise Refused(Refusal.TOO_LARGE)
        encrypted = xml.encrypted_part(body, self._max_depth)
        self._check(crypto, query, encrypted)
        message = crypto.decrypt(encrypted)
        xml.check(message, self._max_depth)
        lane = URGENT if WELCOME in message or KF_EVENT in message else EVENTS
        return NewRow(hashlib.sha256(message).digest(), app, lane, message.decode(), utcnow())

    def _check(self, crypto: CallbackCrypto, query: Query, encrypted: bytes) -> None:
        try:
            signature, timestamp, nonce = query["msg_signature"], query["timestamp"], query["nonce"]
        except KeyError:
            raise Refused(Refusal.INCOMPLETE) from None
        crypto.verify(signature, timestamp, nonce, encrypted)
        if self._freshness and not self._fresh(timestamp):
            raise Refused(Refusal.STALE)

    def _fresh(self, timestamp: bytes) -> bool:
        return timestamp.isdigit() and abs(utcnow().timestamp() - int(timestamp)) <= self._freshness


def parse_query(text: str) -> dict[str, bytes]:
    """The parameters of a query string. A bare ``+`` stays one: base64 has them and some senders do not escape."""
    query: dict[str, bytes] = {}
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        plain = value.encode("utf-8", "replace")
        query[name] = unquote_to_bytes(plain) if "%" in value else plain
    return query
