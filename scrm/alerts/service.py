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
from scrm.kernel.clock import in_zone, utcnow
from scrm.kernel.day_span import DaySpan
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.kernel.kept import kept
from scrm.kernel.locks import hold_in_transaction
from scrm.kernel.settings import settings
from scrm.staff.queries import leaders_of
from scrm.staff.service.naming import ensure_staff
from scrm.wecom.effects import Intent, plan

log = structlog.get_logger(__name__)
MUTED, LEFT, NO_RECEIVER = "muted", "left", "no receiver"
PREFIX = "alerts:"
"""How the keys of our effects begin."""
TEXT_BYTES, REST_BYTES = (
    2048,
    40,
)  # of a text message (wecom-api.md section 6.1), and what the last line may need of it
MOST_LINES = 60  # more never fit into one text
RECEIVERS = 200  # members told in one transaction
GAP = timedelta(seconds=10)
"""Between two messages to one member, urgent or not: WeCom drops more than 30 a minute in silence (section 1.4)."""
LIFE = timedelta(days=2)
"""What could not be sent for so long is no news any more."""


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


def hold_back(keys: Sequence[str], reason: str) -> None:
    """Do not send these, unless they are on their way: something else tells of them."""
    if keys:
        session().execute(_HOLD, {"keys": list(keys), "reason": reason})


_HOLD = text("""
UPDATE alerts SET state = 'silenced', reason = :reason WHERE id IN (
  SELECT id FROM alerts WHERE key = ANY(CAST(:keys AS text[])) AND state = 'pending' AND effect_id IS NULL
  ORDER BY id FOR UPDATE SKIP LOCKED)
""")


def tell_after_all(keys: Sequence[str], reason: str) -> None:
    """Send what was held back for this reason, if it is news still."""
    if keys:
        now = utcnow()
        values = {"keys": list(keys), "reason": reason, "due": after_quiet(now), "old": now - LIFE}
        session().execute(_TELL, values)


_TELL = text("""
UPDATE alerts SET state = 'pending', reason = NULL, due_at = :due WHERE id IN (
  SELECT id FROM alerts WHERE key = ANY(CAST(:keys AS text[])) AND state = 'silenced' AND reason = :reason
    AND created_at > :old ORDER BY id FOR UPDATE SKIP LOCKED)
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


def plan_messages() -> int:
    """Make one message per receiver who has something due, of everything that waits for them; how many were made.

    One process at a time does so (the others wait), so that what one member has to know is never split by chance.
    """
    hold_in_transaction("alerts.messages")
    now = utcnow()
    silent = quiet().holds(now, settings().corp.zone)
    session().execute(_EXPIRE, {"now": now, "old": now - LIFE})
    _pass_on()
    values = {"now": now, "silent": silent, "after": now - GAP, "limit": RECEIVERS, "lines": MOST_LINES}
    found: dict[int, list[Any]] = {}
    for row in session().execute(_TAKE, values):
        found.setdefault(row.receiver_id, []).append(row)
    intents = {receiver: _intent(rows, now) for receiver, rows in found.items()}
    effects = plan(intents.values())
    marks = [{"r": receiver, "e": effects[intent.key]} for receiver, intent in intents.items()]
    session().execute(_MARK, {"rows": orjson.dumps(marks).decode(), "now": now})
    return len(intents)


WAITING = "a.state = 'pending' AND a.effect_id IS NULL"
READY = f"""
SELECT a.receiver_id, bool_or(a.urgent) AS urgent, min(a.due_at) AS since FROM alerts a
WHERE {WAITING} AND a.due_at <= :now AND (a.urgent OR NOT :silent) GROUP BY a.receiver_id
HAVING NOT EXISTS (SELECT FROM alerts t WHERE t.receiver_id = a.receiver_id AND t.told_at > :after)"""  # noqa: S608
"""Receivers who have something due and got no message just now."""
_TAKE = text(f"""
WITH ready AS MATERIALIZED ({READY} ORDER BY urgent DESC, since LIMIT :limit),
taken AS (UPDATE alerts a SET told_at = :now, tries = a.tries + 1 FROM ready
  WHERE a.receiver_id = ready.receiver_id AND {WAITING} AND (a.urgent OR NOT :silent)
  RETURNING a.id, a.receiver_id, a.urgent, a.zh, a.en, a.tries, a.created_at),
lines AS (SELECT taken.*, count(*) OVER whole AS total,
  row_number() OVER (PARTITION BY taken.receiver_id ORDER BY taken.urgent DESC, taken.id) AS place
  FROM taken WINDOW whole AS (PARTITION BY taken.receiver_id))
SELECT lines.*, staff.userid FROM lines JOIN staff ON staff.id = lines.receiver_id WHERE place <= :lines
ORDER BY lines.receiver_id, place
""")  # noqa: S608
_MARK = text("""
UPDATE alerts SET effect_id = r.e FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(r bigint, e bigint)
WHERE alerts.receiver_id = r.r AND alerts.told_at = :now AND alerts.effect_id IS NULL AND alerts.state = 'pending'
""")
_EXPIRE = text(f"""
UPDATE alerts a SET state = 'expired', reason = 'not sent in time' WHERE {WAITING} AND a.created_at < :old
""")  # noqa: S608


def _intent(rows: Sequence[Any], now: datetime) -> Intent:
    """The message of one receiver; what can wait is not sent into quiet hours when WeCom was away until then."""
    first = rows[0]
    urgent = any(row.urgent for row in rows)
    starts = quiet().next_start(now, settings().corp.zone)
    calm = now + LIFE if urgent or quiet().start == quiet().end else min(starts, now + LIFE)
    content = message_text([(row.created_at, _words(row)) for row in rows], first.total)
    payload = {"touser": first.userid, "msgtype": "text", "text": {"content": content}}
    key = f"{PREFIX}{first.receiver_id}:{first.id}:{first.tries}"
    return Intent("staff_message", key, payload, subject=f"staff:{first.receiver_id}", deadline_at=calm)


def _words(row: Any) -> str:
    return str(row.en if settings().corp.language == "en" else row.zh)


def message_text(told: Sequence[tuple[datetime, str]], total: int) -> str:
    """One text of at most 2,048 bytes (wecom-api.md section 6.1): a line per alert, then how many more there are.

    :param told: moment and words of the first alerts
    :param total: how many there are in all
    """
    english = settings().corp.language == "en"
    head = (
        "[SCRM] " + (f"{total} alerts" if total > 1 else "alert")
        if english
        else f"【客户管理提醒】{total} 条"
    )
    lines, room = [head], TEXT_BYTES - len(head.encode()) - REST_BYTES
    for at, words in told:
        line = f"\n{in_zone(at, settings().corp.zone):%m-%d %H:%M} {plain(words)}"
        if len(line.encode()) > room and len(lines) > 1:
            break
        lines.append(cut(line, room))
        room -= len(lines[-1].encode())
    rest = total - (len(lines) - 1)
    more = (f"\n…and {rest} more" if english else f"\n…另有 {rest} 条") if rest else ""
    return "".join(lines) + more


def plain(words: str) -> str:
    """Words that WeCom shows as they are: its text messages read ``<a href>``, and a customer may be called so."""
    return words.replace("<", "＜").replace("\0", "")


def cut(words: str, most: int) -> str:
    """At most ``most`` bytes of UTF-8, never half a character; a cut end is shown."""
    if len(words.encode()) <= most:
        return words
    return words.encode()[: most - len("…".encode())].decode(errors="ignore") + "…"


def _pass_on() -> None:
    """What waits for members who left the corp goes to their leaders, or the operators."""
    gone = session().execute(_FOR_GONE).all()
    if not gone:
        return
    instead = stand_ins(row.receiver_id for row in gone)
    pairs = [{"i": row.id, "r": new} for row in gone for new in sorted(instead[row.receiver_id])]
    session().execute(_COPY, {"rows": orjson.dumps(pairs).decode()})
    nobody = [row.id for row in gone if not instead[row.receiver_id]]
    session().execute(_LEAVE, {"ids": [row.id for row in gone], "nobody": nobody})
    if nobody:
        _say_that_nobody_is_told()


_FOR_GONE = text(f"""
SELECT a.id, a.receiver_id FROM alerts a JOIN staff ON staff.id = a.receiver_id
WHERE {WAITING} AND staff.left_at IS NOT NULL ORDER BY a.id LIMIT 1000
""")  # noqa: S608
_COPY = text("""
INSERT INTO alerts (kind, key, receiver_id, zh, en, urgent, due_at, created_at)
SELECT a.kind, a.key, r.r, a.zh, a.en, a.urgent, a.due_at, a.created_at
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(i bigint, r bigint) JOIN alerts a ON a.id = r.i
ORDER BY a.key, r.r ON CONFLICT (key, receiver_id) DO NOTHING
""")
_LEAVE = text(f"""
UPDATE alerts SET state = 'silenced',
  reason = CASE WHEN id = ANY(CAST(:nobody AS bigint[])) THEN '{NO_RECEIVER}' ELSE '{LEFT}' END
WHERE id = ANY(CAST(:ids AS bigint[]))
""")  # noqa: S608


def settle_messages(effect_ids: Sequence[int]) -> None:
    """Write what became of messages. One that could not be sent in time is told later, unless it is too old by now."""
    now = utcnow()
    values = {"ids": sorted(effect_ids), "now": now, "old": now - LIFE, "due": after_quiet(now)}
    session().execute(_SETTLE, values)


_SETTLE = text("""
UPDATE alerts a SET
  state = CASE WHEN o.again THEN 'pending' WHEN o.unlicensed THEN 'failed' WHEN o.state = 'confirmed' THEN 'sent'
    WHEN o.state = 'failed' THEN 'failed' WHEN o.state = 'expired' THEN 'expired' ELSE 'silenced' END,
  reason = CASE WHEN o.again THEN NULL WHEN o.unlicensed THEN 'WeCom says that this member has no licence'
    WHEN o.state = 'confirmed' THEN NULL WHEN o.state = 'failed' THEN concat_ws(' ', o.errcode, o.error)
    WHEN o.state = 'expired' THEN 'not sent in time' ELSE o.state END,
  effect_id = CASE WHEN o.again THEN NULL ELSE a.effect_id END,
  due_at = CASE WHEN o.again THEN :due ELSE a.due_at END,
  sent_at = CASE WHEN o.state = 'confirmed' AND NOT o.unlicensed THEN o.finished_at END
FROM (SELECT t.id, e.state, e.errcode, e.error, e.finished_at, e.state = 'expired' AND t.created_at > :old AS again,
    e.state = 'confirmed' AND COALESCE(e.result ->> 'unlicenseduser', '') <> '' AS unlicensed
  FROM alerts t JOIN effects e ON e.id = t.effect_id WHERE e.id = ANY(CAST(:ids AS bigint[])) ORDER BY t.id) o
WHERE a.id = o.id
""")


def forget_alerts() -> int:
    """Delete alerts older than ``[alerts] retention_days`` that nobody has to be told any more; how many."""
    before = utcnow() - timedelta(days=settings().alerts.retention_days)
    gone = session().execute(_FORGET, {"before": before})
    return int(getattr(gone, "rowcount", 0))


_FORGET = text("""
DELETE FROM alerts WHERE ctid IN (SELECT ctid FROM alerts WHERE created_at < :before AND state <> 'pending' LIMIT 5000)
""")
