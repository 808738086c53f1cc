"""Signatures of Standard Webhooks (specification 1.0.0): HMAC-SHA256 over ``id.timestamp.body``."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable

from werkzeug.datastructures import Headers

from scrm.kernel.clock import utcnow
from scrm.kernel.errors import Unauthorized

PREFIX = "whsec_"
VERSION = "v1"
TOLERANCE_SECONDS = 300  # the specification's recommendation against replays
LEAST_BYTES, MOST_BYTES = 24, 64  # of a secret, by the specification


def secret_bytes(secret: str) -> bytes:
    """The key inside ``whsec_<base64>``.

    :raises ValueError: anything else, or fewer than 24 or more than 64 bytes
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(PREFIX) or not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise ValueError(f"must be {PREFIX} and {LEAST_BYTES} to {MOST_BYTES} bytes in base64")
    return key


def signature(secret: str, message_id: str, timestamp: int | str, body: bytes) -> str:
    """``v1,<base64>`` for the header ``webhook-signature``; several secrets' are joined by spaces."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(secret_bytes(secret), signed, hashlib.sha256).digest()
    return f"{VERSION},{base64.b64encode(digest).decode()}"


def check_signature(secrets: Iterable[str], headers: Headers, body: bytes) -> None:
    """Refuse a request that none of the secrets signed, or that is older or newer than TOLERANCE_SECONDS.

    :raises Unauthorized: saying which header is wrong
    """
    message_id, given = headers.get("webhook-id", ""), headers.get("webhook-signature", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not message_id or not given or not timestamp.isascii() or not timestamp.isdigit():
        raise Unauthorized(
            "sign the request: webhook-id, webhook-timestamp (Unix seconds) and webhook-signature"
        )
    if len(timestamp) > len("9999999999") or abs(utcnow().timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
        raise Unauthorized(
            f"webhook-timestamp is more than {TOLERANCE_SECONDS} s from now; sign when sending"
        )
    right = [signature(secret, message_id, timestamp, body).encode() for secret in secrets]
    signatures = [one.encode() for one in given.split(" ")]
    if not any([hmac.compare_digest(one, ours) for one in signatures for ours in right]):  # noqa: C419  # constant time
        raise Unauthorized("webhook-signature fits none of the secrets of this source")
