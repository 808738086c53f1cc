"""Reading fields of a request as WeCom does: a wrong type or length is 40058, an absent one 40063."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from scrm.sandbox.errors import WecomError

if TYPE_CHECKING:
    from collections.abc import Sequence

INVALID = 40058
EMPTY = 40063
BAD_CURSOR = 50100
Json = dict[str, Any]


def invalid(name: str, rule: str) -> WecomError:
    """40058 naming the field."""
    return WecomError(INVALID, f"invalid Request Parameter: {name} {rule}")


def text(body: Json, name: str, max_chars: int = 0, max_bytes: int = 0) -> str | None:
    """A string or None when absent; 40058 on another type or over a limit (0 = no limit)."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise invalid(name, "must be a string")
    if max_chars and len(value) > max_chars:
        raise invalid(name, f"exceeds {max_chars} characters")
    if max_bytes and len(value.encode()) > max_bytes:
        raise invalid(name, f"exceeds {max_bytes} bytes")
    return value


def required(body: Json, name: str, code: int = EMPTY, max_bytes: int = 0) -> str:
    """A non-empty string; `code` when it is absent or empty."""
    value = text(body, name, max_bytes=max_bytes)
    if not value:
        raise WecomError(code, f"missing {name}")
    return value


def strings(body: Json, name: str, max_items: int = 0) -> list[str]:
    """A list of strings, empty when absent; 40058 on another type or too many."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise invalid(name, "must be a list of strings")
    if max_items and len(value) > max_items:
        raise invalid(name, f"exceeds {max_items} items")
    return value


def integer(body: Json, name: str, default: int = 0, allowed: Sequence[int] | None = None) -> int:
    """A whole number; 40058 on another type or a value not in `allowed`."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid(name, "must be a number")
    if allowed is not None and value not in allowed:
        raise invalid(name, "is out of range")
    return value


def boolean(body: Json, name: str, default: bool) -> bool:
    """A bool; 0 and 1 are taken too, as WeCom does; 40058 otherwise."""
    value = body.get(name, default)
    if value in (0, 1):
        return bool(value)
    raise invalid(name, "must be true or false")


def record(body: Json, name: str) -> Json | None:
    """An object or None; 40058 on another type."""
    value = body.get(name)
    if value is None or isinstance(value, dict):
        return value
    raise invalid(name, "must be an object")


def encode_cursor(scope: str, offset: int) -> str:
    """An opaque cursor."""
    return base64.urlsafe_b64encode(f"{scope}:{offset}".encode()).decode().rstrip("=")


def decode_cursor(scope: str, cursor: str | None) -> int:
    """The offset inside; 0 for none, 50100 for a cursor this call did not give."""
    if not cursor:
        return 0
    try:
        plain = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise WecomError(BAD_CURSOR, "invalid cursor") from error
    found, _, offset = plain.rpartition(":")
    if found != scope or not offset.isdigit():
        raise WecomError(BAD_CURSOR, "invalid cursor")
    return int(offset)


def clipped(limit: int, default: int, maximum: int) -> int:
    """Page sizes that are clipped to the maximum (batch/get_by_user, §1.2)."""
    return default if limit <= 0 else min(limit, maximum)


def or_default(limit: int, default: int, maximum: int) -> int:
    """Page sizes that fall back to the default when too large (group message lists, §1.2)."""
    return limit if 0 < limit <= maximum else default
