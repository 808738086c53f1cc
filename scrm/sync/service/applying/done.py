"""What one transaction of comparing or applying came to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from scrm.sync.service.pages import NewPart
from scrm.sync.service.tally import Tally

SLICE = 5000
"""Rows ended in one transaction."""


@dataclass(frozen=True)
class Done:
    """The outcome of a step of a part.

    :param more: there is more to do of the same kind; ``pages`` of it are done now
    :param customer_ids: whose facts changed
    :param parts: pieces of work that follow
    """

    tally: Tally = field(default_factory=dict)
    more: bool = False
    pages: int = 0
    customer_ids: Collection[int] = ()
    parts: Sequence[NewPart] = ()
