"""Reading group codes and entry welcomes: lists, what stands behind them, and what came of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, literal_column, select, text

from scrm.group_entry.models import (
    EntryState,
    EntryWelcome,
    EntryWelcomeGroup,
    GroupCode,
    GroupCodeGroup,
)
from scrm.group_entry.service.rotation import MEMBERS, doors_of
from scrm.groups.models import CustomerGroup, GroupStatus
from scrm.groups.queries import visible
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.permissions import Scope
from scrm.kernel.settings import settings
from scrm.staff.models import Staff

FIGURES = """count(*) AS joins, count(*) FILTER (WHERE s.left_at IS NULL) AS present,
  count(*) FILTER (WHERE s.left_at < s.joined_at + interval '24 hours') AS left_24h,
  count(*) FILTER (WHERE s.left_at < (s.joined_at AT TIME ZONE :zone + interval '7 days') AT TIME ZONE :zone) AS left_7d,
  count(*) FILTER (WHERE EXISTS (SELECT FROM follows f
    WHERE f.customer_id = s.customer_id AND f.status IN ('active', 'half'))) AS customers"""
NO_FIGURES = {"joins": 0, "present": 0, "left_24h": 0, "left_7d": 0, "customers": 0}
_MEMBERS = MEMBERS.replace("g.group_id", "group_code_groups.group_id")
EXTERNAL = 2  # member_type of people who are no staff


def group_code_list(filters: dict[str, Any]) -> Select[Any]:
    """Codes; deleted ones only when asked for."""
    statement = select(GroupCode)
    if status := filters.get("status"):
        statement = statement.where(GroupCode.status == status)
    else:
        statement = statement.where(GroupCode.status != EntryState.DELETED)
    if (full := filters.get("full")) is not None:
        statement = statement.where(GroupCode.full_at.isnot(None) if full else GroupCode.full_at.is_(None))
    return statement


def with_groups(scope: Scope, codes: Iterable[GroupCode]) -> list[GroupCode]:
    """The codes with ``groups`` (those of the scope) and ``joins`` set, for schemas."""
    found = list(codes)
    behind, joins = _groups_behind(scope, found), _joins(found)
    for code in found:
        code.groups = behind[code.id]  # type: ignore[attr-defined]  # for the schema only
        code.joins = joins.get(code.state, 0)  # type: ignore[attr-defined]  # same
    return found


def group_code_detail(scope: Scope, code_id: int) -> GroupCode:
    """One code, deleted or not, with its groups; raises NotFound when there never was one with this id."""
    code = session().get(GroupCode, code_id, populate_existing=True)
    if code is None:
        raise NotFound(f"there is no group code {code_id}")
    return with_groups(scope, [code])[0]


def _groups_behind(scope: Scope, codes: Sequence[GroupCode]) -> dict[int, list[dict[str, Any]]]:
    in_use = {code_id: set(doors.chat_ids) for code_id, doors in doors_of([c.id for c in codes]).items()}
    caps = {code.id: code.cap for code in codes}
    g = GroupCodeGroup
    rows: Any = session().execute(
        select(
            g.group_code_id, g.group_id, g.position, g.cap, g.source, g.full_at,
            CustomerGroup.chat_id, CustomerGroup.name, CustomerGroup.status,
            literal_column(_MEMBERS).label("members"),
        )
        .join(CustomerGroup, CustomerGroup.id == g.group_id)
        .where(g.group_code_id.in_(caps), g.removed_at.is_(None), visible(scope))
        .order_by(g.group_code_id, g.position, g.group_id)
    )  # fmt: skip
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.mappings():
        takes = row["chat_id"] in in_use[row["group_code_id"]]
        found[row["group_code_id"]].append(
            {**row, "takes_people": takes, "effective_cap": row["cap"] or caps[row["group_code_id"]]}
        )
    return found


def _joins(codes: Sequence[GroupCode]) -> dict[str, int]:
    rows = session().execute(
        text("""
        SELECT state, count(*) AS joins FROM group_stays
        WHERE state = ANY(CAST(:states AS text[])) AND member_type = :external GROUP BY state
        """),
        {"states": [code.state for code in codes], "external": EXTERNAL},
    )
    return {row.state: row.joins for row in rows}


def statistics(scope: Scope, code_id: int, since: datetime, until: datetime) -> dict[str, Any]:
    """What came of one code between two times: in total, by group, and by day of the corp's zone and group.

    ``joins``: people who came through it; ``present``: of these, still there; ``left_24h``, ``left_7d``: gone again
    within that time (days are those of the corp's zone, one of which may have 23 or 25 hours); ``customers``: of these, followed by a member now.
    """
    code = group_code_detail(scope, code_id)
    values = {"states": [code.state], "since": since, "until": until, **_scoped(scope)}
    days = _rows(_BY_DAY, values)
    return {
        "since": since,
        "until": until,
        "total": _sum(days),
        "groups": [{"group_id": id_, **_sum(rows)} for id_, rows in sorted(_by(days, "group_id").items())],
        "days": days,
    }


def overview(scope: Scope, since: datetime, until: datetime) -> list[dict[str, Any]]:
    """The figures of every living code between two times, the most used first, and how many of its groups are open."""
    codes = with_groups(
        scope, session().scalars(select(GroupCode).where(GroupCode.status != EntryState.DELETED))
    )
    values = {"states": [c.state for c in codes], "since": since, "until": until, **_scoped(scope)}
    figures = {row["state"]: row for row in _rows(_BY_STATE, values)}
    rows = [_code_figures(code, figures.get(code.state, {})) for code in codes]
    return sorted(rows, key=lambda row: (-row["joins"], row["group_code_id"]))


def _code_figures(code: Any, figures: dict[str, Any]) -> dict[str, Any]:
    open_ = [g for g in code.groups if not g["full_at"] and g["status"] == GroupStatus.NORMAL]
    return {
        **NO_FIGURES,
        **{name: value for name, value in figures.items() if name in NO_FIGURES},
        "group_code_id": code.id,
        "name": code.name,
        "status": code.status,
        "full_at": code.full_at,
        "groups": len(code.groups),
        "open_groups": len(open_),
    }


_STAYS = """
FROM group_stays s JOIN customer_groups cg ON cg.id = s.group_id
WHERE s.state = ANY(CAST(:states AS text[])) AND s.member_type = 2 AND s.joined_at >= :since AND s.joined_at < :until
AND (:everyone OR cg.owner_staff_id = ANY(CAST(:staff AS bigint[])) OR EXISTS (SELECT FROM group_stays own
  WHERE own.group_id = cg.id AND own.staff_id = ANY(CAST(:staff AS bigint[])) AND own.left_at IS NULL))
"""
_BY_DAY = text(f"""
SELECT s.group_id, (s.joined_at AT TIME ZONE :zone)::date AS day, {FIGURES} {_STAYS}
GROUP BY 1, 2 ORDER BY 2, 1
""")  # constants of this module
_BY_STATE = text(f"SELECT s.state, {FIGURES} {_STAYS} GROUP BY 1")  # same


def _scoped(scope: Scope) -> dict[str, Any]:
    return {
        "everyone": scope.everyone,
        "staff": sorted(scope.staff_ids),
        "zone": settings().corp.timezone,
    }


def _rows(statement: Any, values: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in session().execute(statement, values).mappings()]


def _by(rows: Iterable[dict[str, Any]], key: str) -> dict[Any, list[dict[str, Any]]]:
    found: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row[key]].append(row)
    return found


def _sum(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    return {name: sum(row[name] for row in rows) for name in NO_FIGURES}


def entry_welcome_list(filters: dict[str, Any]) -> Select[Any]:
    """Entry welcomes with how many groups they are for, and how many of these still wait."""
    counts = (
        select(
            EntryWelcomeGroup.entry_welcome_id,
            func.count().label("groups"),
            func.count().filter(EntryWelcomeGroup.attached_at.is_(None)).label("waiting"),
        )
        .group_by(EntryWelcomeGroup.entry_welcome_id)
        .subquery()
    )
    statement = select(
        *EntryWelcome.__table__.columns,
        func.coalesce(counts.c.groups, 0).label("groups"),
        func.coalesce(counts.c.waiting, 0).label("waiting"),
    ).outerjoin(counts, counts.c.entry_welcome_id == EntryWelcome.id)
    if status := filters.get("status"):
        return statement.where(EntryWelcome.status == status)
    return statement.where(EntryWelcome.status != EntryState.DELETED)


def entry_welcome_detail(welcome_id: int) -> dict[str, Any]:
    """One entry welcome, deleted or not; raises NotFound when there never was one with this id."""
    found = session().get(EntryWelcome, welcome_id)
    if found is None:
        raise NotFound(f"there is no entry welcome {welcome_id}")
    statement = entry_welcome_list({"status": found.status}).where(EntryWelcome.id == welcome_id)
    return dict(session().execute(statement).mappings().one())


def welcome_group_list(scope: Scope, filters: dict[str, Any]) -> Any:
    """Which groups shall say which template, with their owners; ``waiting``: those nobody attached it to yet."""
    g = EntryWelcomeGroup
    statement: Any = (
        select(
            g.group_id, g.entry_welcome_id, g.assigned_at, g.told_at, g.attached_at, g.attached_by,
            CustomerGroup.name.label("group"), CustomerGroup.owner_staff_id, Staff.userid.label("owner_userid"),
            EntryWelcome.name.label("entry_welcome"), EntryWelcome.status,
        )
        .join(CustomerGroup, CustomerGroup.id == g.group_id)
        .join(EntryWelcome, EntryWelcome.id == g.entry_welcome_id)
        .outerjoin(Staff, Staff.id == CustomerGroup.owner_staff_id)
        .where(visible(scope), CustomerGroup.status == GroupStatus.NORMAL)
    )  # fmt: skip
    if (welcome_id := filters.get("entry_welcome_id")) is not None:
        statement = statement.where(g.entry_welcome_id == welcome_id)
    if (owner := filters.get("owner_staff_id")) is not None:
        statement = statement.where(CustomerGroup.owner_staff_id == owner)
    if (waiting := filters.get("waiting")) is not None:
        statement = statement.where(g.attached_at.is_(None) if waiting else g.attached_at.isnot(None))
    return statement


def waiting_owners(scope: Scope) -> list[dict[str, Any]]:
    """Owners with how many of their groups still wait for a template, most first."""
    listed = welcome_group_list(scope, {"waiting": True}).subquery()
    rows = session().execute(
        select(
            listed.c.owner_staff_id,
            listed.c.owner_userid,
            func.count().label("waiting"),
            func.min(listed.c.assigned_at).label("since"),
        )
        .group_by(listed.c.owner_staff_id, listed.c.owner_userid)
        .order_by(func.count().desc(), listed.c.owner_staff_id)
    )
    return [dict(row) for row in rows.mappings()]
