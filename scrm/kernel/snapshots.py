"""Which transactions a reader saw: so one can tell later what it has missed, whatever order they were committed in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from sqlalchemy import text

from scrm.kernel.db import session


@dataclass(frozen=True)
class Snapshot:
    """Which transactions a question saw: PostgreSQL's ``pg_snapshot``.

    :param xmin: everything before it had ended; ``xmax`` everything from it on had not begun
    :param running: what ran in between
    """

    xmin: int
    xmax: int
    running: frozenset[int]

    @classmethod
    def parse(cls, told: str) -> Self:
        """From PostgreSQL's own way of writing one: ``10:20:10,14,15``."""
        xmin, xmax, running = told.split(":")
        return cls(int(xmin), int(xmax), frozenset(map(int, filter(None, running.split(",")))))

    @classmethod
    def of_all(cls, seen: Iterable[Self]) -> Self:
        """What every one of them saw.

        :param seen: at least one
        """
        given = list(seen)
        xmax = min(each.xmax for each in given)
        running = {xid for each in given for xid in each.running if xid < xmax}
        return cls(min(each.xmin for each in given), xmax, frozenset(running))

    def __str__(self) -> str:
        return f"{self.xmin}:{self.xmax}:{','.join(map(str, sorted(self.running)))}"

    def shows(self, xid: int) -> bool:
        """Whether what this transaction wrote was there."""
        return xid < self.xmin or (xid < self.xmax and xid not in self.running)

    def knows_since(self, old: Snapshot, below: int) -> bool:
        """Whether changes that are noted tell everything between ``old`` and this; not for a snapshot of a database that was set back.

        :param below: changes of transactions with smaller numbers are forgotten
        """
        return old.xmin >= below and old.xmax <= self.xmax


def oldest_running() -> int:
    """The oldest transaction that still runs, of all databases of the server: what has a smaller number had ended."""
    return session().scalar(_OLDEST) or 0


_OLDEST = text("SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)")
