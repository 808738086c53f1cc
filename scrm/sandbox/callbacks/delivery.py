"""One callback to one app: its plaintext, its encrypted request and what became of it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import wechatpy.utils
import wechatpy.work.crypto

from scrm.sandbox.callbacks.bodies import cdata

if TYPE_CHECKING:
    from scrm.sandbox.config import AppConfig

WECHATPY: Any = wechatpy.work.crypto  # the library carries no types
SIGNER: Any = wechatpy.utils.WeChatSigner
PENDING = "pending"
DELIVERED = "delivered"
FAILED = "failed"
DROPPED = "dropped"


@dataclass(slots=True, eq=False)
class Delivery:
    """A record that stays readable through /control/callbacks."""

    id: int
    app: AppConfig
    url: str
    event: str
    change_type: str
    created: float
    plaintext: str
    status: str = PENDING
    attempts: list[dict[str, Any]] = field(default_factory=list)
    delivered_at: float | None = None
    request: bytes | None = None

    def as_json(self) -> dict[str, Any]:
        """Every field a test may look at."""
        return {
            "id": self.id,
            "app": self.app.name,
            "url": self.url,
            "event": self.event,
            "change_type": self.change_type,
            "created_at": self.created,
            "plaintext": self.plaintext,
            "status": self.status,
            "attempts": self.attempts,
            "delivered_at": self.delivered_at,
        }


class Sealer:
    """Encrypts and signs with wechatpy, so that the backend's own crypto meets another implementation."""

    def __init__(self, app: AppConfig, corp_id: str) -> None:
        """Prepare the key once; the app's token and AES key are checked by the configuration."""
        self._app = app
        self._corp_id = corp_id
        self._crypto = WECHATPY.WeChatCrypto(app.token, app.aes_key, corp_id)
        self._cipher = WECHATPY.PrpCrypto(self._crypto.key)

    def seal(self, plaintext: str, timestamp: int) -> tuple[str, bytes]:
        """Return the query string and the outer XML of one POST (wecom-api.md §2.5)."""
        encrypted = self._cipher.encrypt(plaintext, self._corp_id).decode()
        body = (
            f"<xml>{cdata('ToUserName', self._corp_id)}{cdata('AgentID', str(self._app.agentid))}"
            f"{cdata('Encrypt', encrypted)}</xml>"
        )
        return self.query(encrypted, timestamp), body.encode()

    def query(self, encrypted: str, timestamp: int) -> str:
        """msg_signature, timestamp and nonce for this cipher text."""
        nonce = str(random.randrange(10**9, 10**10))
        signature = _signature(self._app.token, str(timestamp), nonce, encrypted)
        return f"msg_signature={signature}&timestamp={timestamp}&nonce={nonce}"

    def echo(self, text: str) -> str:
        """The encrypted echo string of URL verification (§2.4)."""
        encrypted: bytes = self._cipher.encrypt(text, self._corp_id)
        return encrypted.decode()


def _signature(*parts: str) -> str:
    signer = SIGNER()
    signer.add_data(*parts)
    signature: str = signer.signature
    return signature
