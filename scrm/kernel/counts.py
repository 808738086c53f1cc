"""What reading a list from WeCom and comparing it with ours came to."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Seen:
    """Counts of one comparison; they add up.

    :param seen: rows WeCom showed
    :param new: rows we had not known
    :param changed: rows that differed from ours, and were changed here
    :param gone: rows of ours that WeCom no longer shows, and that were ended here
    :param untouched: rows that were equal
    """

    seen: int = 0
    new: int = 0
    changed: int = 0
    gone: int = 0
    untouched: int = 0

    def __add__(self, other: Seen) -> Seen:
        return Seen(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Seen)))
