"""WeCom's callback encryption (wecom-api.md sections 2.2-2.4): signature, AES-256-CBC, padding, receive id."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import secrets
from typing import Final

from Crypto.Cipher import AES

from wecom_callbacks.refusals import Refusal, Refused

KEY_BYTES: Final = 32
AES_BLOCK: Final = 16
PAD_BLOCK: Final = 32  # WeCom pads to 32 bytes although the cipher's block has 16
HEAD_BYTES: Final = 20  # 16 random bytes, then the message's length as four bytes, big-endian
SMALLEST: Final = 32

_PADDING: Final = tuple(bytes([length]) * length for length in range(PAD_BLOCK + 1))


class CallbackCrypto:
    """Checks, opens and makes the callbacks of one app.

    :param token: the app's callback token
    :param aes_key: its EncodingAESKey, 43 characters
    :param receive_id: our corp id, which every message must name
    :raises ValueError: when the key is not base64 of 32 bytes
    """

    __slots__ = ("_iv", "_key", "_receive_id", "_token")

    def __init__(self, token: str, aes_key: str, receive_id: str) -> None:
        self._token = token.encode()
        self._key = binascii.a2b_base64(aes_key + "=")
        if len(self._key) != KEY_BYTES:
            raise ValueError(f"EncodingAESKey must decode to {KEY_BYTES} bytes, not {len(self._key)}")
        self._iv = self._key[:AES_BLOCK]
        self._receive_id = receive_id.encode()

    def signature(self, timestamp: bytes, nonce: bytes, encrypted: bytes) -> bytes:
        """Lower-case hex sha1 of the four parts, sorted byte by byte and joined."""
        parts = sorted((self._token, timestamp, nonce, encrypted))
        return hashlib.sha1(b"".join(parts), usedforsecurity=False).hexdigest().encode()

    def verify(self, signature: bytes, timestamp: bytes, nonce: bytes, encrypted: bytes) -> None:
        """Compare in constant time; raises Refused (BAD_SIGNATURE)."""
        if not hmac.compare_digest(self.signature(timestamp, nonce, encrypted), signature):
            raise Refused(Refusal.BAD_SIGNATURE)

    def decrypt(self, encrypted: bytes) -> bytes:
        """The message inside base64 text ``encrypted``.

        :raises Refused: BAD_ENCRYPTION, BAD_PADDING or WRONG_RECEIVER
        """
        try:
            cipher_text = binascii.a2b_base64(encrypted, strict_mode=True)
        except binascii.Error:
            raise Refused(Refusal.BAD_ENCRYPTION) from None
        if len(cipher_text) < SMALLEST or len(cipher_text) % AES_BLOCK:
            raise Refused(Refusal.BAD_ENCRYPTION)
        return self._open(AES.new(self._key, AES.MODE_CBC, self._iv).decrypt(cipher_text))

    def _open(self, padded: bytes) -> bytes:
        """Take message and receive id out of the plain text, every length and every padding byte checked."""
        pad = padded[-1]
        if not 1 <= pad <= PAD_BLOCK or not padded.endswith(_PADDING[pad]):
            raise Refused(Refusal.BAD_PADDING)
        end = HEAD_BYTES + int.from_bytes(padded[16:HEAD_BYTES], "big")
        if end > len(padded) - pad:
            raise Refused(Refusal.BAD_PADDING)
        if padded[end : len(padded) - pad] != self._receive_id:
            raise Refused(Refusal.WRONG_RECEIVER)
        return padded[HEAD_BYTES:end]

    def encrypt(self, message: bytes, random: bytes | None = None) -> bytes:
        """``message`` as WeCom would encrypt it for us, base64; for the echo self-test and tests.

        :param random: 16 bytes in front, made up when not given
        """
        head = (random or secrets.token_bytes(AES_BLOCK)) + len(message).to_bytes(4, "big")
        plain = head + message + self._receive_id
        plain += _PADDING[PAD_BLOCK - len(plain) % PAD_BLOCK]
        sealed = AES.new(self._key, AES.MODE_CBC, self._iv).encrypt(plain)
        return binascii.b2a_base64(sealed, newline=False)
