"""Ids in WeCom's shapes, the same for the same seed and the same order of requests."""

from __future__ import annotations

import base64
import hashlib
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Ids:
    """Makes ids from (seed, kind, counter), so that equal seeds give equal worlds (wecom-api.md §1.5)."""

    def __init__(self, seed: int) -> None:
        """Start all counters at 0."""
        self._seed = seed
        self._counters: dict[str, Iterator[int]] = {}

    def _digest(self, kind: str, size: int) -> bytes:
        counter = self._counters.get(kind)
        if counter is None:
            counter = self._counters[kind] = count()
        return hashlib.blake2b(
            b"%d:%s:%d" % (self._seed, kind.encode(), next(counter)), digest_size=size
        ).digest()

    def opaque(self, prefix: str, length: int = 30) -> str:
        """`prefix` and `length` characters [0-9A-Za-z_-], like external_userid `wm…`."""
        text = base64.urlsafe_b64encode(self._digest(prefix, (length * 3 + 3) // 4)).decode()
        return prefix + text[:length]

    def hexadecimal(self, kind: str, length: int = 32) -> str:
        """Lower-case hex, like a contact way's config_id or a group's member_version."""
        return self._digest(kind, (length + 1) // 2).hex()[:length]

    def number(self, kind: str) -> int:
        """A positive 63-bit number, like MsgId."""
        return int.from_bytes(self._digest(kind, 8)) >> 1
