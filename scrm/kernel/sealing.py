"""Secrets that must be read again later (unlike API keys): sealed in the database, opened with a key of the settings."""

from __future__ import annotations

from functools import lru_cache

from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.Protocol.KDF import HKDF
from Crypto.Random import get_random_bytes
from flask import current_app

VERSION = b"\x01"
NONCE_BYTES, TAG_BYTES, KEY_BYTES = 12, 16, 32  # AES-256-GCM (NIST SP 800-38D)
HEAD = len(VERSION) + NONCE_BYTES + TAG_BYTES


class SealBroken(Exception):  # noqa: N818  # reads as a statement where it is raised
    """What is sealed cannot be opened: it was sealed with another key, about something else, or was changed."""


def seal(plain: bytes, about: str, key: str = "") -> bytes:
    """Encrypt with AES-256-GCM.

    :param about: what the secret belongs to; a sealed secret opens for nothing else, so rows cannot be swapped
    :param key: any text, the cipher's key is derived from it; empty: ``web.secret_key`` (needs an app context)
    """
    nonce = get_random_bytes(NONCE_BYTES)
    cipher = AES.new(_cipher_key(key), AES.MODE_GCM, nonce=nonce, mac_len=TAG_BYTES)
    cipher.update(about.encode())
    hidden, tag = cipher.encrypt_and_digest(plain)
    return VERSION + nonce + tag + hidden


def unseal(sealed: bytes, about: str, key: str = "") -> bytes:
    """What :func:`seal` was given; raises SealBroken for anything that it did not make with this key."""
    if len(sealed) < HEAD or not sealed.startswith(VERSION):
        raise SealBroken("is not sealed by this program")
    nonce, tag = sealed[len(VERSION) : HEAD - TAG_BYTES], sealed[HEAD - TAG_BYTES : HEAD]
    cipher = AES.new(_cipher_key(key), AES.MODE_GCM, nonce=nonce, mac_len=TAG_BYTES)
    cipher.update(about.encode())
    try:
        return cipher.decrypt_and_verify(sealed[HEAD:], tag)
    except ValueError:
        raise SealBroken("was sealed with another key, or for something else") from None


def _cipher_key(key: str) -> bytes:
    return _derived(key or str(current_app.config["SECRET_KEY"]))


@lru_cache(maxsize=8)
def _derived(key: str) -> bytes:
    derived: bytes = HKDF(key.encode(), KEY_BYTES, b"", SHA256, context=b"scrm sealing 1")
    return derived
