"""One alarm instead of as many lines: who is told of a mass deletion is not told of each deletion in it besides.

Lines wait a while for others to go with, so those of the first deletions usually wait when the alarm is made: they are held
back. Should late facts take the alarm back, they are told after all. What was sent stays sent.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import text

from scrm.alerts.service import LIFE, hold_back, tell_after_all
from scrm.customers.events import LostBy
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.settings import settings

SUMMED = "in an alarm"
CIRCLES = ("manager", "operators")
"""Who gets the alarm. Lines to the members themselves go out: they get no alarm."""


def line_key(loss_id: int, lost_by: str, circle: str) -> str:
    """The alert about one loss to one circle of receivers."""
    return f"loss:{loss_id}:{lost_by}:{circle}"


def sum_up(staff_ids: Iterable[int], alarm_kind: str) -> None:
    """Hold back, or let go, the lines about these members' deletions, as their alarms stand now.

    :param alarm_kind: where it is muted, lines are all that people get
    """
    if alarm_kind in settings().alerts.muted_kinds:
        return
    values = {"staff": sorted(set(staff_ids)), "since": utcnow() - LIFE}
    inside: dict[bool, list[str]] = {True: [], False: []}
    for row in session().execute(_DELETIONS, values):
        inside[row.inside] += [line_key(row.id, LostBy.STAFF, circle) for circle in CIRCLES]
    hold_back(inside[True], SUMMED)
    tell_after_all(inside[False], SUMMED)


_DELETIONS = text("""
SELECT l.id, EXISTS (SELECT FROM loss_alarms a WHERE a.staff_id = l.staff_id AND a.withdrawn_at IS NULL
  AND l.lost_at BETWEEN a.first_at AND a.last_at) AS inside
FROM losses l WHERE l.staff_id = ANY(CAST(:staff AS bigint[])) AND l.lost_by = 'staff' AND NOT l.found
  AND l.lost_at > :since ORDER BY l.id
""")
