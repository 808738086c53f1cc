"""Keeping codes current: who serves each of them now, worked out for many codes with a fixed number of statements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import select, text
from sqlalchemy.orm.attributes import set_committed_value

from scrm.acquisition.models import ChannelCode, CodeState, DutyReason, WhenOver
from scrm.acquisition.service.duty import Duty, Plan, World, decide, named_departments, named_staff, plan_of
from scrm.acquisition.service.pushing import push
from scrm.alerts.service import Alert, alert
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.settings import settings
from scrm.kernel.slots import day_begin

log = structlog.get_logger(__name__)
BATCH = 500
KEPT_CURRENT = (CodeState.PENDING, CodeState.ACTIVE, CodeState.FAILED)
CLOCKS_DIFFER = timedelta(
    seconds=30
)  # between WeCom's events and us; a temporary code is not renewed so quickly


def keep_due() -> int:
    """Check a batch of codes whose time has come; returns how many were looked at.

    Codes that somebody else holds are left to them. The next check is written with the outcome, so whatever kills this
    leaves them due.
    """
    due = (
        select(ChannelCode)
        .where(ChannelCode.check_at <= utcnow())
        .order_by(ChannelCode.id)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    codes = session().scalars(due).all()
    keep_current(codes)
    return len(codes)


def keep_current(codes: Sequence[ChannelCode]) -> None:
    """Write who serves these (locked) codes now, and have WeCom told where that is not what it holds."""
    now = utcnow()
    used = _used([code for code in codes if code.is_temp])
    alive = [code for code in codes if code.status in KEPT_CURRENT and not _close(code, now, used)]
    plans = [plan_of(code) for code in alive]
    world = _world(plans, now)
    duties = [decide(plan, world) for plan in plans]
    for code, duty in zip(alive, duties, strict=True):
        _write(code, duty)
    session().flush()
    checks = dict(zip((code.id for code in alive), (duty.check_at for duty in duties), strict=True))
    _note_checks(codes, checks, now)
    alert([_nobody(code, now) for code in alive if code.duty_reason is DutyReason.KEPT])
    push([code for code in codes if code.drift is None])


def have_checked(
    staff_ids: Iterable[int] = (), *, departments: bool = False, everything: bool = False
) -> bool:
    """Members changed: codes that name them, or that name departments, are due; whether there are any.

    :param everything: all codes, and those that are over and still lie at WeCom
    """
    values = {"ids": sorted(set(staff_ids)), "departments": departments, "all": everything, "now": utcnow()}
    return bool(session().scalars(_HAVE_CHECKED, values).all())


_HAVE_CHECKED = text("""
UPDATE channel_codes SET check_at = :now WHERE id IN (
  SELECT id FROM channel_codes WHERE (:all AND config_id IS NOT NULL AND status IN ('closed', 'deleted'))
  OR status IN ('pending', 'active', 'failed') AND (:all
    OR staff_ids && CAST(:ids AS bigint[]) OR backup_staff_ids && CAST(:ids AS bigint[])
    OR on_duty && CAST(:ids AS bigint[])
    OR EXISTS (SELECT FROM jsonb_array_elements(slots || dates) r, jsonb_array_elements(r -> 'staff_ids') s
      WHERE CAST(s AS bigint) = ANY(CAST(:ids AS bigint[])))
    OR (:departments AND (department_ids <> '{}'
      OR EXISTS (SELECT FROM jsonb_array_elements(slots || dates) r WHERE r -> 'department_ids' <> '[]'))))
  ORDER BY id FOR UPDATE)
RETURNING id
""")


def _close(code: ChannelCode, now: datetime, used: set[int]) -> bool:
    """Close a code whose time is over, or a temporary one that was used; whether it is closed."""
    over = code.valid_until is not None and code.valid_until <= now and code.when_over is WhenOver.CLOSE
    if over or code.id in used:
        code.status = CodeState.CLOSED
    return code.status is CodeState.CLOSED


def _used(temporary: Sequence[ChannelCode]) -> set[int]:
    """Those of these codes through which somebody came: WeCom ends one after one add (wecom-api.md section 4.4)."""
    since = {code.id: code.accepted_at for code in temporary if code.accepted_at is not None}
    if not since:
        return set()
    values = {"ids": list(since), "since": list(since.values()), "clocks": CLOCKS_DIFFER}
    return set(session().scalars(_USED, values))


_USED = text("""
SELECT DISTINCT a.channel_code_id
FROM unnest(CAST(:ids AS bigint[]), CAST(:since AS timestamptz[])) AS v(id, since)
JOIN channel_adds a ON a.channel_code_id = v.id AND a.at >= v.since - :clocks
""")


def _write(code: ChannelCode, duty: Duty) -> None:
    if (code.on_duty, code.on_duty_party) != (list(duty.staff_ids), list(duty.party)):
        code.on_duty, code.on_duty_party = list(duty.staff_ids), list(duty.party)
        code.drift = None
    code.duty_reason, code.accepts_now = duty.reason, duty.accepts


def _note_checks(codes: Sequence[ChannelCode], checks: Mapping[int, datetime | None], now: datetime) -> None:
    """When each code was looked at and is to be looked at again, in one statement: that is no change of the code."""
    values = {"ids": [code.id for code in codes], "at": [checks.get(code.id) for code in codes], "now": now}
    session().execute(_CHECKED, values)
    for code in codes:
        set_committed_value(code, "check_at", checks.get(code.id))
        set_committed_value(code, "checked_at", now)


_CHECKED = text("""
UPDATE channel_codes c SET check_at = v.at, checked_at = :now
FROM unnest(CAST(:ids AS bigint[]), CAST(:at AS timestamptz[])) AS v(id, at) WHERE c.id = v.id
""")


def _world(plans: Sequence[Plan], now: datetime) -> World:
    zone = settings().corp.zone
    staff = sorted({one for plan in plans for one in named_staff(plan)})
    departments = sorted({one for plan in plans for one in named_departments(plan)})
    capped = sorted(plan.code_id for plan in plans if plan.daily_cap is not None or plan.caps)
    return World(
        now=now,
        zone=zone,
        able=frozenset(session().scalars(_ABLE, {"ids": staff})) if staff else frozenset(),
        below=_below(departments),
        adds=_adds(capped, day_begin(zone, now)),
    )


# A member whose feature was never heard of may have it (WeCom's list is read once a day); one whom the list named once
# and names no more has lost it. Of departments only those are taken of whom it is known, once the list was read.
_CAN_SERVE = "s.left_at IS NULL AND coalesce(s.status, 1) = 1 AND s.feature_lost_at IS NULL"
_ABLE = text(f"SELECT id FROM staff s WHERE id = ANY(CAST(:ids AS bigint[])) AND {_CAN_SERVE}")  # noqa: S608  # a constant
_BELOW = text(f"""
WITH RECURSIVE tree AS (
  SELECT id AS root, id FROM departments WHERE id = ANY(CAST(:ids AS bigint[])) AND deleted_at IS NULL
  UNION SELECT tree.root, d.id FROM tree JOIN departments d ON d.parent_id = tree.id AND d.deleted_at IS NULL)
SELECT DISTINCT tree.root, s.id FROM tree JOIN staff_departments m ON m.department_id = tree.id
JOIN staff s ON s.id = m.staff_id WHERE {_CAN_SERVE}
AND (s.follows_customers OR NOT EXISTS (SELECT FROM staff WHERE follows_customers)) ORDER BY 1, 2
""")  # noqa: S608  # a constant of this module


def _below(department_ids: Sequence[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    if department_ids:
        for row in session().execute(_BELOW, {"ids": list(department_ids)}):
            found.setdefault(row.root, []).append(row.id)
    return found


def _adds(code_ids: Sequence[int], since: datetime) -> dict[tuple[int, int], int]:
    if not code_ids:
        return {}
    rows = session().execute(_ADDS, {"ids": list(code_ids), "since": since})
    return {(row.channel_code_id, row.staff_id): row.adds for row in rows}


_ADDS = text("""
SELECT channel_code_id, staff_id, count(*) AS adds FROM channel_adds
WHERE channel_code_id = ANY(CAST(:ids AS bigint[])) AND at >= :since AND counts GROUP BY 1, 2
""")


def _nobody(code: ChannelCode, now: datetime) -> Alert:
    day = now.astimezone(settings().corp.zone).date().isoformat()
    return Alert(
        kind="channel_code_unserved",
        key=f"channel_code_unserved:{code.id}:{day}",
        zh=f"渠道活码「{code.name}」（{code.id}）没有可接待的成员，也没有可用的备用成员，暂时保留原来的成员。请为它设置备用成员。",
        en=f"Channel code {code.name} ({code.id}): no member can take newcomers and no backup either; the last list "
        "stays. Give it backup staff.",
        operators=True,
    )
