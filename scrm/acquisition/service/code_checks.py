"""What must be right in a channel code before it is saved; every problem is named by the path of its field.

Everything a batch of codes names is looked up at once; the checks themselves ask nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import select

from scrm.acquisition.models import ChannelCodeGroup, WelcomeMessage
from scrm.acquisition.service import wording
from scrm.acquisition.service.duty import date_slot, week_slot
from scrm.acquisition.service.remark_rules import REMARK_CHARS, VARIABLES
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.slots import Slot, first_overlap
from scrm.staff.models import Department, Staff
from tags.models import Tag

Values = Mapping[str, Any]
Problems = dict[str, str]
ROSTERS = ("slots", "dates")
LONGEST_DATES = 366  # days of one entry of special dates


@dataclass(frozen=True)
class Known:
    """Which of the named things exist."""

    staff: frozenset[int]
    departments: frozenset[int]
    tags: frozenset[int]
    welcomes: frozenset[int]
    groups: frozenset[int]


def known_of(rows: Iterable[Values]) -> Known:
    """Look up everything these codes name, with one question per kind."""
    told = list(rows)
    staff = {one for row in told for _, ids in staff_paths(row) for one in ids}
    departments = {one for row in told for _, ids in department_paths(row) for one in ids}
    tags = {one for row in told for one in row.get("tag_ids") or ()}
    welcomes = {one for row in told for _, one in _welcomes(row)}
    groups = {row["group_id"] for row in told if row.get("group_id") is not None}
    return Known(
        _there(Staff.id, staff, Staff.left_at.is_(None)),
        _there(Department.id, departments, Department.deleted_at.is_(None)),
        _there(Tag.id, tags, Tag.deleted_at.is_(None)),
        _there(WelcomeMessage.id, welcomes),
        _there(ChannelCodeGroup.id, groups),
    )


def _there(column: Any, ids: set[int], *clauses: Any) -> frozenset[int]:
    if not ids:
        return frozenset()
    return frozenset(session().scalars(select(column).where(column.in_(ids), *clauses)))


def unknown_things(given: Values, known: Known) -> Problems:
    """Things that the given fields name and that do not exist, or that they name twice."""
    problems: Problems = {}
    for path, ids in staff_paths(given):
        problems |= _strangers(path, ids, known.staff, "member of staff")
    for path, ids in department_paths(given):
        problems |= _strangers(path, ids, known.departments, "department")
    problems |= _strangers("tag_ids", given.get("tag_ids") or (), known.tags, "tag")
    for path, welcome in _welcomes(given):
        if welcome not in known.welcomes:
            problems[path] = f"there is no welcome message {welcome}"
    if (group := given.get("group_id")) is not None and group not in known.groups:
        problems["group_id"] = f"there is no group {group} of channel codes"
    return problems


def contradictions(whole: Values, *, single: bool) -> Problems:
    """What is wrong in a code as a whole.

    :param whole: every field, as it would be after the change
    :param single: WeCom's type 1: exactly one member, for ever
    """
    problems: Problems = {}
    if not whole.get("staff_ids") and not whole.get("department_ids"):
        problems["staff_ids"] = "give staff_ids or department_ids: somebody has to serve"
    for name, place, row in _rosters(whole):
        if not row.get("staff_ids") and not row.get("department_ids"):
            problems[f"{name}.{place}.staff_ids"] = "give staff_ids or department_ids: somebody has to serve"
    problems |= _slot_problems(whole)
    if single:
        problems |= _not_single(whole)
    problems |= _not_together(whole) | _template_problems(whole.get("remark_rule"))
    return problems


def staff_paths(row: Values) -> list[tuple[str, Sequence[int]]]:
    """(path, ids) of every list of members in the fields given."""
    paths = [(name, row.get(name) or ()) for name in ("staff_ids", "backup_staff_ids")]
    paths += [(f"{name}.{place}.staff_ids", r.get("staff_ids") or ()) for name, place, r in _rosters(row)]
    caps = [cap["staff_id"] for cap in row.get("caps") or ()]
    return [*paths, ("caps", caps)]


def department_paths(row: Values) -> list[tuple[str, Sequence[int]]]:
    """(path, ids) of every list of departments in the fields given."""
    paths = [("department_ids", row.get("department_ids") or ())]
    return paths + [
        (f"{name}.{place}.department_ids", r.get("department_ids") or ()) for name, place, r in _rosters(row)
    ]


def _rosters(row: Values) -> list[tuple[str, int, Values]]:
    return [(name, place, one) for name in ROSTERS for place, one in enumerate(row.get(name) or ())]


def _welcomes(row: Values) -> list[tuple[str, int]]:
    slots = enumerate(row.get("welcome_slots") or ())
    found = [(f"welcome_slots.{place}.welcome_id", slot["welcome_id"]) for place, slot in slots]
    usual = row.get("welcome_id")
    return found if usual is None else [("welcome_id", usual), *found]


def _strangers(path: str, ids: Sequence[int], known: Collection[int], what: str) -> Problems:
    problems: Problems = {}
    for place, one in enumerate(ids):
        if one not in known:
            problems[f"{path}.{place}"] = f"there is no {what} {one}"
        elif one in ids[:place]:
            problems[f"{path}.{place}"] = f"{one} is named twice"
    return problems


def _slot_problems(whole: Values) -> Problems:
    """Entries of dates that run backwards, and slots of one list that hold at the same time; both paths are named."""
    problems: Problems = {}
    for place, row in enumerate(whole.get("dates") or ()):
        days = (date.fromisoformat(row["last"]) - date.fromisoformat(row["first"])).days
        if not 0 <= days < LONGEST_DATES:
            problems[f"dates.{place}.last"] = (
                f"must be first or later, and at most {LONGEST_DATES} days in all"
            )
    if problems:
        return problems
    for name, made in (
        ("slots", week_slot),
        ("dates", date_slot),
        ("welcome_slots", week_slot),
        ("accept_slots", week_slot),
    ):
        problems |= _overlaps(name, [made(row) for row in whole.get(name) or ()])
    return problems


def _overlaps(name: str, slots: Sequence[Slot]) -> Problems:
    found = first_overlap(slots)
    if found is None:
        return {}
    return {
        f"{name}.{one}": f"overlaps {name}.{other} from {found.when}"
        for one, other in ((found.first, found.second), (found.second, found.first))
    }


def _not_single(whole: Values) -> Problems:
    problems: Problems = {}
    rosters: list[tuple[str, Values]] = [("", whole), *((f"{n}.{p}.", r) for n, p, r in _rosters(whole))]
    for prefix, row in rosters:
        if len(row.get("staff_ids") or ()) > 1 or row.get("department_ids"):
            field = "staff_ids" if len(row.get("staff_ids") or ()) > 1 else "department_ids"
            problems[f"{prefix}{field}"] = (
                "WeCom keeps a code of one member so; make a new code for several, or for departments"
            )
    return problems


def _not_together(whole: Values) -> Problems:
    """Fields that exclude each other."""
    problems: Problems = {}
    if whole.get("use_party") and (whole.get("daily_cap") is not None or whole.get("caps")):
        problems["use_party"] = (
            "WeCom knows no caps; leave use_party off so that departments are expanded here"
        )
    if not whole.get("is_temp"):
        for name in ("expires_in", "chat_expires_in", "unionid"):
            if whole.get(name) is not None:
                problems[name] = "belongs to temporary codes; set is_temp"
    elif len(whole.get("staff_ids") or ()) != 1 or whole.get("department_ids"):
        problems["staff_ids"] = "a temporary code is of exactly one member (wecom-api.md section 4.4)"
    if whole.get("when_over") == "backup" and not whole.get("backup_staff_ids"):
        problems["when_over"] = "needs backup_staff_ids, who serve when its time is over"
    return problems


def _template_problems(rule: str | None) -> Problems:
    if not rule:
        return {}
    parts = wording.split(rule, VARIABLES)
    literal = "".join(part for part, is_variable in parts if not is_variable)
    if "{" in literal or "}" in literal:
        allowed = ", ".join(f"{{{name}}}" for name in VARIABLES)
        return {"remark_rule": f"holds a brace that belongs to no variable; there are {allowed}"}
    if len(literal) >= REMARK_CHARS:
        return {
            "remark_rule": f"leaves no room for its variables: a remark has {REMARK_CHARS} characters at most"
        }
    return {}


def valid_in_future(given: Values) -> Problems:
    """A moment that has passed already would close the code at once."""
    until = given.get("valid_until")
    return {"valid_until": "must lie in the future"} if until is not None and until <= utcnow() else {}
