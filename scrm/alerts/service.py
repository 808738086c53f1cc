"""Telling members something: who receives it, when, and in which message. Never commits.

An alert is written as one row per receiver, in the transaction of what it tells about. Later, rows of one receiver
become one effect, in one transaction with the mark on the rows: whatever dies in between, a row is in no message or in
exactly one, and the effect ledger sends a message at most once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
import structlog
from sqlalchemy import text

from scrm.alerts.events import UrgentAlerts
from scrm.alerts.models import AlertState
from scrm.kernel.clock import utcnow
from scrm.kernel.day_span import DaySpan
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.kernel.kept import kept
from scrm.kernel.settings import settings
from scrm.staff.queries import leaders_of
from scrm.staff.service.naming import ensure_staff

log = structlog.get_logger(__name__)
MUTED, LEFT, NO_RECEIVER = "muted", "left", "no receiver"


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that people have to know.

    :param kind: the family, such as ``loss``; ``[alerts] muted_kinds`` names families that are not sent
    :param key: unique name of what happened: telling twice is telling once per receiver
    :param zh: the text; names nobody whom its receivers may not see
    :param en: the same in English
    :param staff_ids: members to tell; for one who left the corp, their leaders
    :param managers_of: the leaders of these members are told; where nobody leads, the operators
    :param operators: those are told who look after this program (``[alerts] operators``)
    :param urgent: at once, in quiet hours too
    """

    kind: str
    key: str
    zh: str
    en: str
    staff_ids: tuple[int, ...] = ()
    managers_of: tuple[int, ...] = ()
    operators: bool = False
    urgent: bool = False


def alert(alerts: Sequence[Alert]) -> None:
    """Have people told. Inside a transaction; what has nobody to go to is kept and shown."""
    if not alerts:
        return
    receivers = _receivers(alerts)
    now = utcnow()
    rows = [row for one in alerts for row in _rows(one, receivers[one.key], now)]
    rows.sort(key=lambda row: (row["key"], row["receiver_id"] or 0))
    made = session().execute(_INSERT, {"rows": orjson.dumps(rows).decode(), "now": now}).all()
    if any(row.urgent for row in made):
        publish(UrgentAlerts())
    if any(row.reason == NO_RECEIVER for row in made):
        _say_that_nobody_is_told()


def _rows(one: Alert, receivers: Iterable[int], now: datetime) -> list[dict[str, Any]]:
    muted = MUTED if one.kind in settings().alerts.muted_kinds else None
    due = now if one.urgent else after_quiet(now + timedelta(seconds=settings().alerts.group_seconds))
    return [
        {
            "kind": one.kind, "key": one.key, "receiver_id": receiver, "zh": one.zh, "en": one.en,
            "urgent": one.urgent, "due_at": due, "reason": (reason := muted or (None if receiver else NO_RECEIVER)),
            "state": AlertState.SILENCED if reason else AlertState.PENDING,
        }
        for receiver in sorted(receivers) or (None,)
    ]  # fmt: skip


_INSERT = text("""
INSERT INTO alerts (kind, key, receiver_id, zh, en, urgent, due_at, reason, state, created_at)
SELECT kind, key, receiver_id, zh, en, urgent, due_at, reason, state, :now
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(kind text, key text, receiver_id bigint, zh text, en text,
  urgent boolean, due_at timestamptz, reason text, state text)
ORDER BY key, receiver_id ON CONFLICT (key, receiver_id) DO NOTHING RETURNING urgent AND state = 'pending' AS urgent, reason
""")


def quiet() -> DaySpan:
    """The quiet hours; nothing when none are configured."""
    return DaySpan.between(settings().alerts.quiet_from, settings().alerts.quiet_until)


def after_quiet(moment: datetime) -> datetime:
    """``moment``, or the end of the quiet hours it lies in."""
    zone = settings().corp.zone
    return quiet().next_end(moment, zone) if quiet().holds(moment, zone) else moment


def _receivers(alerts: Sequence[Alert]) -> dict[str, set[int]]:
    """By key, who is told."""
    named = {id_ for one in alerts for id_ in one.staff_ids}
    there = _present(named)
    instead = stand_ins((named - there) | {id_ for one in alerts for id_ in one.managers_of})
    operators = _operators() if any(one.operators for one in alerts) else set()
    found: dict[str, set[int]] = {}
    for one in alerts:
        told = {id_ for id_ in one.staff_ids if id_ in there}
        absent = {id_ for id_ in one.staff_ids if id_ not in there}
        told.update(*(instead[id_] for id_ in {*absent, *one.managers_of}))
        found[one.key] = told | (operators if one.operators else set())
    return found


def stand_ins(staff_ids: Iterable[int]) -> dict[int, set[int]]:
    """By member, who is told in their place: their leaders; the operators where nobody leads them."""
    wanted = sorted(set(staff_ids))
    if not wanted:
        return {}
    leaders = leaders_of(wanted)
    operators = _operators() if any(id_ not in leaders for id_ in wanted) else set()
    return {id_: set(leaders.get(id_, ())) or operators for id_ in wanted}


def _operators() -> set[int]:
    return _present(ensure_staff(settings().alerts.operators).values())


def _present(staff_ids: Iterable[int]) -> set[int]:
    """Those who belong to the corp."""
    wanted = sorted(set(staff_ids))
    return set(session().scalars(_PRESENT, {"ids": wanted})) if wanted else set()


_PRESENT = text("SELECT id FROM staff WHERE id = ANY(CAST(:ids AS bigint[])) AND left_at IS NULL")


def _say_that_nobody_is_told() -> None:
    """Once per process; the API and the overview show the alerts themselves."""
    said: list[bool] = kept("scrm_alerts_nobody", list)
    if not said:
        said.append(True)
        log.warning("alerts have nobody to go to; name operators in [alerts] operators")


def move_alerts(moves: Mapping[int, int]) -> None:
    """Two rows were the same member: alerts of the one that is gone go to the one that stays.

    :param moves: {id that is gone: id that stays}
    """
    for gone, stays in sorted(moves.items()):
        session().execute(_DROP_DOUBLE, {"gone": gone, "kept": stays})
        session().execute(_MOVE, {"gone": gone, "kept": stays})


_DROP_DOUBLE = text("""
DELETE FROM alerts g USING alerts k WHERE g.receiver_id = :gone AND k.receiver_id = :kept AND k.key = g.key
""")
_MOVE = text("UPDATE alerts SET receiver_id = :kept WHERE receiver_id = :gone")
