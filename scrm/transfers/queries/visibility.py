"""Which plans a caller may see and touch: those of members inside the caller's data scope."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, select, true

from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput, NotFound
from scrm.kernel.permissions import Scope
from scrm.staff.models import Staff
from scrm.transfers.models import TransferPlan
from tags.arrays import is_one_of


def visible(scope: Scope) -> ColumnElement[bool]:
    """The clause that limits a select of plans to a scope."""
    return true() if scope.everyone else is_one_of(TransferPlan.from_staff_id, scope.staff_ids)


def plan_for(plan_id: int, scope: Scope, *, lock: bool = False) -> TransferPlan:
    """One plan as it stands in the database; NotFound when it does not exist or lies outside the scope."""
    statement = select(TransferPlan).where(TransferPlan.id == plan_id, visible(scope))
    if lock:
        statement = statement.with_for_update()
    found = session().scalars(statement.execution_options(populate_existing=True)).one_or_none()
    if found is None:
        raise NotFound(f"there is no transfer plan {plan_id}, or it lies outside this key's data scope")
    return found


def member_for(staff_id: int, scope: Scope, field: str) -> Staff:
    """A member inside the scope; InvalidInput naming ``field`` when there is none."""
    found = session().get(Staff, staff_id)
    if found is None or not (scope.everyone or staff_id in scope.staff_ids):
        raise InvalidInput.field(
            field, f"there is no member of staff {staff_id}, or it lies outside this key's data scope"
        )
    return found


def check_members(staff_ids: Iterable[int], scope: Scope, field: str) -> None:
    """Raise InvalidInput unless all these members exist inside the scope."""
    wanted = set(staff_ids)
    known = set(session().scalars(select(Staff.id).where(is_one_of(Staff.id, wanted))))
    allowed = known if scope.everyone else known & scope.staff_ids
    if missing := sorted(wanted - allowed):
        named = ", ".join(map(str, missing[:20]))
        raise InvalidInput.field(field, f"no such member of staff, or outside this key's data scope: {named}")
