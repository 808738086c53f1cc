"""Transfers in the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scrm.kernel.db import transaction
from scrm.kernel.http import api_blueprint, idempotent, page_schema
from scrm.kernel.permissions import Permission, Scope, current_actor, needs
from scrm.transfers.models import TransferPlan
from scrm.transfers.queries import plans as queries
from scrm.transfers.queries import unassigned
from scrm.transfers.queries.visibility import plan_for
from scrm.transfers.schemas import items as item_schemas
from scrm.transfers.schemas import plans as plan_schemas
from scrm.transfers.service import activation, defaults, pairs, plans, redistributing
from tags.rules.queries.veiling import Reader, refuse_unreadable

blueprint = api_blueprint(
    "transfers", "在职继承 on-job and 离职继承 resigned transfers of customers and groups"
)


@blueprint.route("/transfers/plans")
@needs(Permission.TRANSFERS_READ)
@blueprint.arguments(plan_schemas.TransferPlanQuery, location="query")
@blueprint.response(200, page_schema(plan_schemas.TransferPlanOut))
def list_plans(query: dict[str, Any]) -> dict[str, Any]:
    """List plans with their totals, newest first."""
    actor = current_actor()
    page, reader = queries.plan_page(actor.scope, query), Reader(actor)
    return {**page, "items": [queries.plan_shown(reader, plan) for plan in page["items"]]}


@blueprint.route("/transfers/plans", methods=["POST"])
@needs(Permission.TRANSFERS_WRITE)
@idempotent
@blueprint.arguments(plan_schemas.TransferPlanIn)
@blueprint.response(201, plan_schemas.TransferPlanOut)
def create_plan(data: dict[str, Any]) -> dict[str, Any]:
    """Make a draft."""
    actor = current_actor()
    _refuse_unreadable(data)
    return _shown(plans.create_plan(data, actor).id)


@blueprint.route("/transfers/plans/<int:plan_id>")
@needs(Permission.TRANSFERS_READ)
@blueprint.response(200, plan_schemas.TransferPlanOut)
def get_plan(plan_id: int) -> dict[str, Any]:
    """Show one plan."""
    return _shown(plan_id)


@blueprint.route("/transfers/plans/<int:plan_id>", methods=["PATCH"])
@needs(Permission.TRANSFERS_WRITE)
@blueprint.arguments(plan_schemas.TransferPlanPatch)
@blueprint.response(200, plan_schemas.TransferPlanOut)
def edit_plan(data: dict[str, Any], plan_id: int) -> dict[str, Any]:
    """Change a draft, or of a plan under way what was not asked yet."""
    _refuse_unreadable(data)
    return _changed(lambda id_, scope: plans.edit_plan(id_, data, scope), plan_id)


@blueprint.route("/transfers/plans/<int:plan_id>", methods=["DELETE"])
@needs(Permission.TRANSFERS_WRITE)
@blueprint.response(204)
def delete_plan(plan_id: int) -> None:
    """Forget a draft."""
    with transaction():
        plans.delete_plan(plan_id, current_actor().scope)


@blueprint.route("/transfers/plans/<int:plan_id>/preview")
@needs(Permission.TRANSFERS_READ)
@blueprint.response(200, item_schemas.TransferPreviewOut)
def preview_plan(plan_id: int) -> dict[str, Any]:
    """Say who would get how many, who cannot be handed over and why; changes nothing."""
    return queries.plan_preview(plan_id, current_actor().scope)


@blueprint.route("/transfers/plans/<int:plan_id>/import", methods=["POST"])
@needs(Permission.TRANSFERS_WRITE)
@blueprint.arguments(plan_schemas.TransferImportIn)
@blueprint.response(200, plan_schemas.TransferImportOut)
def import_pairs(data: dict[str, Any], plan_id: int) -> pairs.Imported:
    """Read who goes to whom from CSV; with ``dry_run`` only say what would be taken."""
    scope = current_actor().scope
    with transaction():
        plan = plan_for(plan_id, scope, lock=True)
        return pairs.set_pairs(plan, pairs.read_csv(data["csv"]), scope, dry_run=data["dry_run"])


@blueprint.route("/transfers/plans/<int:plan_id>/activate", methods=["POST"])
@needs(Permission.TRANSFERS_WRITE)
@blueprint.response(200, plan_schemas.TransferPlanOut)
def activate_plan(plan_id: int) -> dict[str, Any]:
    """Fix who goes to whom and begin to ask WeCom."""
    return _changed(activation.activate_plan, plan_id)


@blueprint.route("/transfers/plans/<int:plan_id>/pause", methods=["POST"])
@needs(Permission.TRANSFERS_WRITE)
@blueprint.response(200, plan_schemas.TransferPlanOut)
def pause_plan(plan_id: int) -> dict[str, Any]:
    """Ask for nothing further; what WeCom has taken on goes on."""
    return _changed(activation.pause_plan, plan_id)


@blueprint.route("/transfers/plans/<int:plan_id>/resume", methods=["POST"])
@needs(Permission.TRANSFERS_WRITE)
@blueprint.response(200, plan_schemas.TransferPlanOut)
def resume_plan(plan_id: int) -> dict[str, Any]:
    """Go on after a pause."""
    return _changed(activation.resume_plan, plan_id)


@blueprint.route("/transfers/plans/<int:plan_id>/cancel", methods=["POST"])
@needs(Permission.TRANSFERS_WRITE)
@blueprint.response(200, plan_schemas.TransferPlanOut)
def cancel_plan(plan_id: int) -> dict[str, Any]:
    """Cancel what was not asked for; WeCom cannot take back the rest, which is followed to its end."""
    return _changed(activation.cancel_plan, plan_id)


@blueprint.route("/transfers/plans/<int:plan_id>/items")
@needs(Permission.TRANSFERS_READ)
@blueprint.arguments(item_schemas.TransferItemQuery, location="query")
@blueprint.response(200, page_schema(item_schemas.TransferItemOut))
def list_items(query: dict[str, Any], plan_id: int) -> dict[str, Any]:
    """Customers and groups of a plan and what became of each."""
    return queries.item_page(plan_id, current_actor().scope, query)


@blueprint.route("/transfers/plans/<int:plan_id>/items/assign", methods=["POST"])
@needs(Permission.TRANSFERS_WRITE)
@blueprint.arguments(item_schemas.TransferAssignIn)
@blueprint.response(200, item_schemas.TransferChangedOut)
def assign_items(data: dict[str, Any], plan_id: int) -> dict[str, int]:
    """Give items to one member: not asked yet, or such as did not work and are asked anew."""
    scope = current_actor().scope
    with transaction():
        return {
            "changed": redistributing.assign_by_hand(plan_id, data["item_ids"], data["to_staff_id"], scope)
        }


@blueprint.route("/transfers/plans/<int:plan_id>/items/take-out", methods=["POST"])
@needs(Permission.TRANSFERS_WRITE)
@blueprint.arguments(item_schemas.TransferTakeOutIn)
@blueprint.response(200, item_schemas.TransferChangedOut)
def take_out_items(data: dict[str, Any], plan_id: int) -> dict[str, int]:
    """Leave items out that nobody was asked about yet."""
    with transaction():
        return {"changed": redistributing.take_out(plan_id, data["item_ids"], current_actor().scope)}


@blueprint.route("/transfers/plans/<int:plan_id>/results")
@needs(Permission.TRANSFERS_READ)
@blueprint.response(200, item_schemas.TransferResultsOut)
def get_results(plan_id: int) -> dict[str, Any]:
    """Say what became of a plan so far."""
    return queries.plan_results(plan_id, current_actor().scope)


@blueprint.route("/transfers/unassigned")
@needs(Permission.TRANSFERS_READ)
@blueprint.response(200, item_schemas.TransferLeftMembersOut)
def list_left_members() -> dict[str, Any]:
    """Members who left and still have customers or groups, with their ages in days."""
    return {"items": unassigned.left_members(current_actor().scope)}


@blueprint.route("/transfers/unassigned/customers")
@needs(Permission.TRANSFERS_READ)
@blueprint.arguments(item_schemas.TransferUnassignedQuery, location="query")
@blueprint.response(200, page_schema(item_schemas.TransferUnassignedOut))
def list_unassigned(query: dict[str, Any]) -> dict[str, Any]:
    """The customers themselves."""
    return unassigned.unassigned_page(current_actor().scope, query)


@blueprint.route("/transfers/defaults")
@needs(Permission.TRANSFERS_READ)
@blueprint.response(200, item_schemas.TransferDefaultsOut)
def list_defaults() -> dict[str, Any]:
    """What happens by itself when members leave, by department."""
    return {"items": queries.default_list()}


@blueprint.route("/transfers/defaults/<int:department_id>", methods=["PUT"])
@needs(Permission.TRANSFERS_WRITE)
@blueprint.arguments(item_schemas.TransferDefaultIn)
@blueprint.response(200, item_schemas.TransferDefaultOut)
def set_default(data: dict[str, Any], department_id: int) -> Any:
    """Set what happens when a member of this department leaves."""
    with transaction():
        _refuse_unreadable(data)
        return defaults.set_default(department_id, data, current_actor())


@blueprint.route("/transfers/defaults/<int:department_id>", methods=["DELETE"])
@needs(Permission.TRANSFERS_WRITE)
@blueprint.response(204)
def drop_default(department_id: int) -> None:
    """Leave a department to the line above it."""
    with transaction():
        defaults.drop_default(department_id, current_actor())


def _refuse_unreadable(data: dict[str, Any]) -> None:
    """Raise Forbidden when a share's condition asks about what this key may not read."""
    for number, share in enumerate((data.get("rule") or {}).get("shares") or ()):
        if share.get("condition"):
            refuse_unreadable(current_actor(), share["condition"], f"rule.shares.{number}.condition")


def _changed(change: Callable[[int, Scope], TransferPlan], plan_id: int) -> dict[str, Any]:
    """The plan after the change and everything that reacts to it."""
    with transaction():
        change(plan_id, current_actor().scope)
    return _shown(plan_id)


def _shown(plan_id: int) -> dict[str, Any]:
    actor = current_actor()
    return queries.plan_shown(Reader(actor), queries.plan_detail(plan_id, actor.scope))
