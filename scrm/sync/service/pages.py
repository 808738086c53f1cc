"""What passes between a part, the call that reads its next page, and the tables in which pages wait."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scrm.kernel.clock import utcnow
from scrm.wecom.client import Client
from scrm.wecom.errors import WecomError

Json = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A part whose next page is read: a copy that threads may hold.

    :param token: of the lease; only who holds it may write what came of the call
    :param keys: members, or ids that are asked one by one
    :param cursor: empty for the first page; where keys are asked one by one, the number of the next
    :param tries: how often this page was tried before
    """

    id: int
    run_id: int
    entity: str
    token: uuid.UUID
    keys: tuple[str, ...] = ()
    cursor: str = ""
    pages: int = 0
    tries: int = 0


@dataclass(frozen=True)
class Item:
    """One thing WeCom showed, of an entity of which there are thousands, not millions."""

    entity: str
    key: str
    body: Json


@dataclass(frozen=True)
class Failure:
    """A key that could not be read although its list could."""

    key: str
    errcode: int | None
    reason: str

    @classmethod
    def of(cls, key: str, error: WecomError) -> Failure:
        """What the error says."""
        return cls(key, error.errcode, error.errmsg)


@dataclass(frozen=True)
class Page:
    """What one step of a part read.

    :param follows: rows of ``sync_follows`` behind (part, page, asked_at), in the order of its columns
    :param cursor: of the next page; None after the last
    """

    asked_at: datetime
    follows: Sequence[tuple[Any, ...]] = ()
    items: Sequence[Item] = ()
    cursor: str | None = None
    failures: Sequence[Failure] = ()

    @property
    def rows(self) -> int:
        """How many rows it stages."""
        return len(self.follows) + len(self.items)


Reader = Callable[[Client, Asked], Page]
"""Reads the next page of a part, in a thread: only calls, no database. Raises WecomError."""


@dataclass(frozen=True)
class NewPart:
    """A piece of work that follows from another."""

    entity: str
    keys: Sequence[str] = field(default_factory=tuple)


def one_by_one(ask: Callable[[Client, str], Sequence[Item]]) -> Reader:
    """A reader of parts whose keys are asked one by one; a key that WeCom refuses is noted and the rest goes on.

    What passes by itself (WeCom busy, limits) is raised, so that the same key is tried again.
    """

    def read(client: Client, asked: Asked) -> Page:
        started, number = utcnow(), int(asked.cursor or 0)
        key = asked.keys[number]
        after = str(number + 1) if number + 1 < len(asked.keys) else None
        try:
            return Page(started, items=ask(client, key), cursor=after)
        except WecomError as error:
            if error.passing:
                raise
            return Page(started, cursor=after, failures=[Failure.of(key, error)])

    return read


def chunks(keys: Sequence[str], size: int) -> list[list[str]]:
    """``keys`` in pieces of at most ``size``."""
    return [list(keys[start : start + size]) for start in range(0, len(keys), size)]
