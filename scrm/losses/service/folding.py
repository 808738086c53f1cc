"""Working losses out of facts: pure, and the same for every order in which the facts became known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from scrm.customers.events import LostBy
from scrm.losses.models import Turn

ORDER = {turn: place for place, turn in enumerate(Turn)}
"""Within one second (WeCom tells no finer) an add comes before an end, and a transfer before a deletion."""
ADDS = frozenset({Turn.ADDED, Turn.HALF_ADDED})
SIDES = {Turn.LOST_BY_STAFF: LostBy.STAFF, Turn.LOST_BY_CUSTOMER: LostBy.CUSTOMER}


@dataclass(frozen=True, slots=True)
class Fact:
    """A relation began or ended; ``found``: nobody told it, WeCom showed it when asked."""

    at: datetime
    turn: Turn
    found: bool = False
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """A stay that ended with a loss; ``added_at`` is empty when nobody knows when it began."""

    lost_at: datetime
    lost_by: LostBy
    found: bool
    added_at: datetime | None = None
    returned_at: datetime | None = None
    state: str | None = None


@dataclass(slots=True)
class _Stay:
    begins: list[Fact] = field(default_factory=list)
    ends: list[Fact] = field(default_factory=list)


def fold(facts: Iterable[Fact]) -> list[Ended]:
    """The losses of one relation, oldest first.

    A stay lasts from the first add to the first end: later ends of the same stay (a member tidies up a customer who has
    left) are no further losses, later adds (the member adds back) no further stays. What a callback told goes before
    what was only found.
    """
    stays = [_Stay()]
    for fact in sorted(facts, key=lambda one: (one.at, ORDER[one.turn])):
        if fact.turn not in ADDS:
            stays[-1].ends.append(fact)
            continue
        if stays[-1].ends:
            stays.append(_Stay())
        stays[-1].begins.append(fact)
    following = [stay.begins[0].at for stay in stays[1:]]
    ended = (_ended(stay, back) for stay, back in zip(stays, [*following, None], strict=True))
    return [one for one in ended if one is not None]


def _ended(stay: _Stay, returned_at: datetime | None) -> Ended | None:
    told = [end for end in stay.ends if not end.found] or stay.ends
    if not told or told[0].turn is Turn.TRANSFERRED:
        return None
    first = told[0]
    states = [begin.state for begin in stay.begins if begin.state]
    return Ended(
        lost_at=first.at,
        lost_by=SIDES[first.turn],
        found=first.found,
        added_at=stay.begins[0].at if stay.begins else None,
        returned_at=returned_at,
        state=states[-1] if states else None,
    )
