"""Making and changing plans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput
from scrm.kernel.permissions import Actor, Scope
from scrm.staff.models import Staff
from scrm.staff.queries import staff_of_departments
from scrm.transfers.models import PlanKind, PlanState, TransferPlan
from scrm.transfers.queries.visibility import check_members, member_for, plan_for
from scrm.transfers.service.pairs import pairs_of, set_pairs
from scrm.transfers.service.redistributing import redistribute
from tags.rules.compiler import validate_condition

UNDER_WAY = (PlanState.ACTIVE, PlanState.PAUSED)


def create_plan(data: Mapping[str, Any], actor: Actor) -> TransferPlan:
    """Make a draft.

    :param data: a loaded ``TransferPlanIn``
    :raises InvalidInput: unknown members, a wrong condition, a message for a resigned member's customers, wrong pairs
    """
    scope = actor.scope
    member = member_for(data["from_staff_id"], scope, "from_staff_id")
    check_kind(data["kind"], member)
    _check_message(data["kind"], data.get("message"))
    if data.get("rule") is not None:
        check_rule(data["rule"], scope)
    made = TransferPlan(
        kind=data["kind"],
        from_staff_id=member.id,
        matter=data["matter"],
        rule=data.get("rule"),
        message=data.get("message") or None,
        copy_tags=data["copy_tags"],
        made_by=actor.name,
    )
    session().add(made)
    session().flush()
    _take_pairs(made, data, scope)
    return made


def check_kind(kind: PlanKind, member: Staff) -> None:
    """Raise InvalidInput when the member has left and the plan is on-job, or the other way round."""
    if kind is PlanKind.RESIGNED and member.left_at is None:
        raise InvalidInput.field("kind", f"member {member.id} has not left; hand over with on_job")
    if kind is PlanKind.ON_JOB and member.left_at is not None:
        raise InvalidInput.field("kind", f"member {member.id} has left; hand over with resigned")


def check_rule(rule: Mapping[str, Any], scope: Scope, field: str = "rule") -> None:
    """Raise InvalidInput unless every member and every row that a condition names exists."""
    for number, share in enumerate(rule["shares"]):
        path = f"{field}.shares.{number}"
        check_members((member["staff_id"] for member in share.get("members") or []), scope, f"{path}.members")
        if (departments := share.get("department_ids")) and not scope.everyone:
            check_members(
                session().scalars(staff_of_departments(departments)), scope, f"{path}.department_ids"
            )
        if share.get("condition"):
            validate_condition(share["condition"], f"{path}.condition")


def _check_message(kind: PlanKind, message: str | None) -> None:
    if message and kind is PlanKind.RESIGNED:
        raise InvalidInput.field("message", "WeCom takes a message for on-job transfers only")


def _take_pairs(plan: TransferPlan, data: Mapping[str, Any], scope: Scope) -> None:
    if not data.get("pairs"):
        return
    done = set_pairs(plan, pairs_of(data["pairs"]), scope)
    if done.problems:
        raise InvalidInput(
            f"{done.rejected} of the pairs cannot be taken",
            fields={f"pairs.{each['line']}": each["problem"] for each in done.problems},
        )


def edit_plan(plan_id: int, changes: Mapping[str, Any], scope: Scope) -> TransferPlan:
    """Change a draft, or of a plan under way what was not asked yet: its rule (distributed anew), message, tags.

    :raises Conflict: the plan is final, or the change needs a draft
    """
    plan = plan_for(plan_id, scope, lock=True)
    draft = plan.state is PlanState.DRAFT
    if not draft and plan.state not in UNDER_WAY:
        raise Conflict(f"transfer plan {plan_id} is {plan.state}; nothing of it can be changed")
    if not draft and (fixed := {"matter", "pairs"} & changes.keys()):
        named = "what" if "matter" in fixed else "pairs"
        raise Conflict(f"transfer plan {plan_id} is {plan.state}; {named} can be changed in a draft only")
    _check_message(plan.kind, changes.get("message"))
    for name in ("matter", "copy_tags"):
        if name in changes:
            setattr(plan, name, changes[name])
    if "message" in changes:
        plan.message = changes["message"] or None
    if "rule" in changes:
        _change_rule(plan, changes["rule"], scope)
    session().flush()
    _take_pairs(plan, changes, scope)
    return plan


def _change_rule(plan: TransferPlan, rule: Mapping[str, Any] | None, scope: Scope) -> None:
    if rule is not None:
        check_rule(rule, scope)
    elif plan.state is not PlanState.DRAFT:
        raise Conflict(f"transfer plan {plan.id} is {plan.state}; its rule can be replaced, not taken away")
    plan.rule = dict(rule) if rule is not None else None
    session().flush()
    if plan.state is not PlanState.DRAFT:
        redistribute(plan)


def delete_plan(plan_id: int, scope: Scope) -> None:
    """Forget a draft.

    :raises Conflict: it was started; cancel it instead
    """
    plan = plan_for(plan_id, scope, lock=True)
    if plan.state is not PlanState.DRAFT:
        raise Conflict(
            f"transfer plan {plan_id} is {plan.state}; only a draft can be deleted, others are cancelled"
        )
    session().delete(plan)
    session().flush()
