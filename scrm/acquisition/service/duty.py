"""Who serves a channel code at a moment: pure arithmetic over its rosters, its caps and who is able to serve.

Special dates go before weekdays, weekdays before the usual roster. Of the roster, those who can serve and have not
reached their cap today; when nobody is left, the backup staff; when they cannot either, the last list stays, because
WeCom wants at least one member.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from scrm.acquisition.models import ChannelCode, DutyReason, WhenOver
from scrm.kernel.slots import DateSlot, Slot, WeekSlot, next_change

MOST = 100  # members of one contact way (41041, wecom-api.md section 4.4)


@dataclass(frozen=True)
class Roster:
    """Members by name, and everybody in and below departments."""

    staff_ids: tuple[int, ...] = ()
    department_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What a code says about who serves.

    :param caps: per member, in place of ``daily_cap``
    :param last: who served until now
    :param use_party: WeCom expands departments itself; such a code knows no caps
    """

    code_id: int
    usual: Roster
    slots: tuple[tuple[WeekSlot, Roster], ...] = ()
    dates: tuple[tuple[DateSlot, Roster], ...] = ()
    backup: tuple[int, ...] = ()
    daily_cap: int | None = None
    caps: Mapping[int, int] | None = None
    skip_verify: bool = True
    accept: tuple[WeekSlot, ...] = ()
    last: tuple[int, ...] = ()
    single: bool = False
    use_party: bool = False
    valid_until: datetime | None = None
    when_over: WhenOver = WhenOver.CLOSE


@dataclass(frozen=True)
class World:
    """What is so at a moment.

    :param able: members who can serve, of those that plans name
    :param below: able members in and below a department, in order
    :param adds: adds that count of the running day by (code id, staff id)
    """

    now: datetime
    zone: ZoneInfo
    able: frozenset[int]
    below: Mapping[int, Sequence[int]]
    adds: Mapping[tuple[int, int], int]


@dataclass(frozen=True)
class Duty:
    """Who serves now.

    :param staff_ids: members by name
    :param party: departments that WeCom expands
    :param accepts: customers need not be approved
    :param check_at: when this may be something else; None: never by itself
    """

    staff_ids: tuple[int, ...]
    reason: DutyReason
    accepts: bool
    party: tuple[int, ...] = ()
    check_at: datetime | None = None


def plan_of(code: ChannelCode) -> Plan:
    """What the row of a code says."""
    return Plan(
        code_id=code.id,
        usual=Roster(tuple(code.staff_ids), tuple(code.department_ids)),
        slots=tuple((week_slot(row), _roster(row)) for row in code.slots),
        dates=tuple((date_slot(row), _roster(row)) for row in code.dates),
        backup=tuple(code.backup_staff_ids),
        daily_cap=code.daily_cap,
        caps={row["staff_id"]: row["cap"] for row in code.caps},
        skip_verify=code.skip_verify,
        accept=tuple(week_slot(row) for row in code.accept_slots),
        last=tuple(code.on_duty),
        single=code.contact_type == 1,
        use_party=code.use_party,
        valid_until=code.valid_until,
        when_over=code.when_over,
    )


def decide(plan: Plan, world: World) -> Duty:
    """Who serves this code now, whether customers are accepted at once, and when to ask again."""
    wall = world.now.astimezone(world.zone)
    over = plan.valid_until is not None and plan.valid_until <= world.now
    roster, reason = _roster_at(plan, wall)
    able = _able(roster, world)
    free = [one for one in able if _free(plan, world, one)]
    backup = [one for one in plan.backup if one in world.able and _free(plan, world, one, usual=False)]
    party = roster.department_ids if plan.use_party and able else ()
    staff: Sequence[int] = [one for one in free if not party or one in roster.staff_ids]
    if over and plan.when_over is WhenOver.BACKUP and backup:
        staff, party, reason = backup, (), DutyReason.OVER
    elif not staff and not party:
        staff, reason = (backup, DutyReason.BACKUP) if backup else (_keep(plan, world, able), DutyReason.KEPT)
    accepts = plan.skip_verify and (not plan.accept or any(slot.covers(wall) for slot in plan.accept))
    most = 1 if plan.single else MOST
    capped = len(free) < len(able) or reason in {DutyReason.BACKUP, DutyReason.KEPT}
    return Duty(tuple(staff[:most]), reason, accepts, party, _check_at(plan, world, capped=capped, over=over))


def roster_rows(code: ChannelCode) -> list[tuple[str, Mapping[str, Any]]]:
    """(path, row) of every roster of a code that is not the usual one."""
    return [
        (f"{name}.{place}", row)
        for name in ("slots", "dates")
        for place, row in enumerate(getattr(code, name) or [])
    ]


def named_staff(plan: Plan) -> set[int]:
    """Everybody a plan names."""
    rosters = [plan.usual, *(roster for _, roster in (*plan.slots, *plan.dates))]
    return {one for roster in rosters for one in roster.staff_ids} | set(plan.backup) | set(plan.last)


def named_departments(plan: Plan) -> set[int]:
    """Every department a plan names."""
    rosters = [plan.usual, *(roster for _, roster in (*plan.slots, *plan.dates))]
    return {one for roster in rosters for one in roster.department_ids}


def minutes(clock: str) -> int:
    """HH:MM as minutes of the day; 24:00 is 1440."""
    hours, _, rest = clock.partition(":")
    return int(hours) * 60 + int(rest)


def week_slot(row: Mapping[str, Any]) -> WeekSlot:
    """The slot of a stored row."""
    return WeekSlot(frozenset(row["weekdays"]), minutes(row["begin"]), minutes(row["end"]))


def date_slot(row: Mapping[str, Any]) -> DateSlot:
    """The slot of a stored row."""
    first, last = date.fromisoformat(row["first"]), date.fromisoformat(row["last"])
    return DateSlot(first, last, minutes(row["begin"]), minutes(row["end"]))


def _roster(row: Mapping[str, Any]) -> Roster:
    return Roster(tuple(row.get("staff_ids") or ()), tuple(row.get("department_ids") or ()))


def _roster_at(plan: Plan, wall: datetime) -> tuple[Roster, DutyReason]:
    for slot, roster in plan.dates:
        if slot.covers(wall):
            return roster, DutyReason.DATE
    for week, roster in plan.slots:
        if week.covers(wall):
            return roster, DutyReason.SLOT
    return plan.usual, DutyReason.USUAL


def _able(roster: Roster, world: World) -> list[int]:
    """Members of the roster who can serve: those named first, in the order given, then those of departments."""
    named = (one for one in roster.staff_ids if one in world.able)
    below = (one for department in roster.department_ids for one in world.below.get(department, ()))
    return list(dict.fromkeys([*named, *below]))


def _free(plan: Plan, world: World, staff_id: int, *, usual: bool = True) -> bool:
    """Whether this member's cap leaves room; the code's own cap does not bind its backup staff."""
    cap = (plan.caps or {}).get(staff_id, plan.daily_cap if usual else None)
    return cap is None or world.adds.get((plan.code_id, staff_id), 0) < cap


def _keep(plan: Plan, world: World, able: Iterable[int]) -> list[int]:
    """Nobody has room: whoever of the last list can still serve, else whoever can at all, else the last list as it is."""
    for some in (plan.last, able, plan.usual.staff_ids, plan.backup):
        if still := [one for one in some if one in world.able]:
            return still
    return list(plan.last) or list(plan.usual.staff_ids)


def _check_at(plan: Plan, world: World, *, capped: bool, over: bool) -> datetime | None:
    slots: list[Slot] = [*(s for s, _ in plan.slots), *(d for d, _ in plan.dates), *plan.accept]
    moments = [next_change(slots, world.zone, world.now)] if slots or capped else []
    if plan.valid_until is not None and not over:
        moments.append(plan.valid_until)
    return min(moments, default=None)
