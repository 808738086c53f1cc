"""Members as WeCom's user objects show them (wecom-api.md section 5.2)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from scrm.staff.service.answers import MemberSeen

ROOT = 1  # department of the whole corp (wecom-api.md section 5.3)
TOO_BIG = 45029  # user/list of a very large department; user/simplelist still answers
Json = dict[str, Any]


def member_from(row: Json) -> MemberSeen:
    """A member as WeCom's user objects show it."""
    departments = row.get("department") or []
    leads = row.get("is_leader_in_dept") or []
    pairs = itertools.zip_longest(departments, leads[: len(departments)], fillvalue=0)
    return MemberSeen(
        userid=row["userid"],
        name=row.get("name"),
        alias=row.get("alias"),
        position=row.get("position"),
        status=row.get("status"),
        main_department_id=row.get("main_department"),
        departments=tuple((int(department), bool(lead)) for department, lead in pairs),
    )


def shows_everything(department_ids: Iterable[int]) -> bool:
    """Whether an app that is shown these departments sees the whole corp.

    Only then does "not shown" mean "gone": an app's visible range may be narrowed at any time, and who is outside of it
    neither left nor was deleted.
    """
    return ROOT in department_ids
