"""What happens by itself when a member leaves: the rule of the nearest department makes a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy import Row, delete, text
from sqlalchemy.dialects.postgresql import insert

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, Forbidden, InvalidInput, NotFound
from scrm.kernel.permissions import Actor, Scope
from scrm.kernel.settings import settings
from scrm.staff.models import Department
from scrm.transfers.models import Matter, PlanKind, TransferDefault, TransferPlan
from scrm.transfers.service.activation import activate_plan
from scrm.transfers.service.plans import check_rule

log = structlog.get_logger(__name__)

MADE_BY = "program"
HIGHEST = 64  # levels of departments


def set_default(department_id: int, data: Mapping[str, Any], actor: Actor) -> TransferDefault:
    """Set what happens when a member of this department, or of one below without its own line, leaves.

    :param data: a loaded ``TransferDefaultIn``
    """
    _refuse_limited(actor)
    if session().get(Department, department_id) is None:
        raise InvalidInput.field("department_id", f"there is no department {department_id}")
    check_rule(data["rule"], actor.scope)
    values = {**data, "made_by": actor.name, "updated_at": utcnow()}
    statement = insert(TransferDefault).values(department_id=department_id, **values)
    session().execute(statement.on_conflict_do_update(index_elements=["department_id"], set_=values))
    return session().get_one(TransferDefault, department_id, populate_existing=True)


def _refuse_limited(actor: Actor) -> None:
    """Defaults speak of whole departments, whoever is in them."""
    if not actor.scope.everyone:
        raise Forbidden("defaults of departments are set by keys without a data scope")


def drop_default(department_id: int, actor: Actor) -> None:
    """Leave a department to the line above it; raises NotFound."""
    _refuse_limited(actor)
    gone = delete(TransferDefault).where(TransferDefault.department_id == department_id)
    if session().scalar(gone.returning(TransferDefault.department_id)) is None:
        raise NotFound(f"department {department_id} has no default of its own")


def members_to_plan() -> list[int]:
    """Members who left with customers or groups that no plan ever named, and who have no plan that is open."""
    return list(session().scalars(_TO_PLAN))


_TO_PLAN = text("""
SELECT s.id FROM staff s WHERE s.left_at IS NOT NULL AND s.userid NOT LIKE '%#%'
AND NOT EXISTS (SELECT FROM transfer_plans p WHERE p.from_staff_id = s.id AND p.kind = 'resigned'
  AND p.state IN ('draft', 'active', 'paused'))
AND (EXISTS (SELECT FROM unassigned_customers u WHERE u.staff_id = s.id AND u.resolved_at IS NULL
    AND NOT EXISTS (SELECT FROM transfer_items i WHERE i.from_staff_id = s.id AND i.customer_id = u.customer_id
      AND (i.asked_at >= s.left_at OR i.settled_at >= s.left_at)))
  OR EXISTS (SELECT FROM customer_groups g WHERE g.owner_staff_id = s.id AND g.status = 'normal'
    AND NOT EXISTS (SELECT FROM transfer_items i WHERE i.from_staff_id = s.id AND i.group_id = g.id
      AND (i.asked_at >= s.left_at OR i.settled_at >= s.left_at))))
ORDER BY s.id
""")


def plan_for_left(staff_id: int) -> TransferPlan | None:
    """Make the plan that the nearest default wants for a member who left, and start it when it says so.

    :returns: the plan; None where nothing is wanted by default
    """
    row = session().execute(_NEAREST, {"id": staff_id, "highest": HIGHEST}).one_or_none()
    wanted = _wanted(row, staff_id)
    if wanted is None:
        return None
    activate = wanted.pop("activate")
    made = TransferPlan(
        kind=PlanKind.RESIGNED, from_staff_id=staff_id, automatic=True, made_by=MADE_BY, **wanted
    )
    session().add(made)
    session().flush()
    log.info("transfer plan made for a member who left", plan=made.id, staff_id=staff_id, activate=activate)
    return _started(made) if activate else made


_NEAREST = text("""
WITH RECURSIVE up AS (
  SELECT main_department_id AS department_id, 0 AS height, 0 AS side FROM staff WHERE id = :id
  UNION SELECT department_id, 0, 1 FROM staff_departments WHERE staff_id = :id
  UNION ALL SELECT d.parent_id, up.height + 1, up.side FROM up JOIN departments d ON d.id = up.department_id
  WHERE d.parent_id IS NOT NULL AND up.height < :highest)
SELECT t.rule, t.matter, t.activate, t.copy_tags FROM up JOIN transfer_defaults t ON t.department_id = up.department_id
ORDER BY up.side, up.height LIMIT 1
""")


def _wanted(row: Row[Any] | None, staff_id: int) -> dict[str, Any] | None:
    """Values of a plan by the API's default for the department, else by the configuration."""
    if row is not None:
        return {**row._mapping, "matter": Matter(row.matter)}
    conf = settings().transfers
    if conf.default_rule == "none":
        return None
    share = {"manager": True} if conf.default_rule == "manager" else _department_share(staff_id)
    if share is None:
        return None
    rule = {"shares": [share], "existing": conf.default_rule == "even", "keep_together": False}
    return {"rule": rule, "matter": Matter.BOTH, "activate": conf.activate_defaults, "copy_tags": False}


def _department_share(staff_id: int) -> dict[str, Any] | None:
    ids: Sequence[int] = session().scalars(_DEPARTMENTS, {"id": staff_id}).all()
    return {"department_ids": list(ids)} if ids else None


_DEPARTMENTS = text("""
SELECT d.id FROM departments d WHERE d.deleted_at IS NULL AND (d.id = (SELECT main_department_id FROM staff WHERE id = :id)
  OR ((SELECT main_department_id FROM staff WHERE id = :id) IS NULL
    AND d.id IN (SELECT department_id FROM staff_departments WHERE staff_id = :id))) ORDER BY 1
""")


def _started(plan: TransferPlan) -> TransferPlan:
    """Start it; where nothing can be handed over it stays a draft that says why, for a person."""
    point = session().begin_nested()
    try:
        activate_plan(plan.id, Scope.all())
        point.commit()
    except (Conflict, InvalidInput) as error:
        point.rollback()
        session().refresh(plan)
        plan.error = error.message
        session().flush()
    return plan
