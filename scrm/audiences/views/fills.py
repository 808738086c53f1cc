"""Filling lists in the API: few customers at once, many in the background."""

from __future__ import annotations

from typing import Any

from scrm.audiences.queries import fills
from scrm.audiences.queries.in_audience import KIND
from scrm.audiences.queries.users import refuse_limited
from scrm.audiences.schemas.fills import AudienceFilledOut, AudienceFillIn, AudienceFillOut
from scrm.audiences.service import filling
from scrm.kernel.db import transaction
from scrm.kernel.http import PageQuery, api_blueprint, idempotent, page_schema
from scrm.kernel.permissions import Permission, current_actor, needs
from tags.rules.queries.veiling import Reader, refuse_unreadable

blueprint = api_blueprint(
    "audience fills", "人群名单的填充 audience fills: copies onto lists and how far they are"
)


@blueprint.route("/audiences/<int:audience_id>/members:fill", methods=["POST"])
@needs(Permission.AUDIENCES_WRITE)
@idempotent
@blueprint.arguments(AudienceFillIn)
@blueprint.response(200, AudienceFilledOut)
@blueprint.alt_response(202, schema=AudienceFilledOut, description="many: a fill was begun")
def fill_audience(data: dict[str, Any], audience_id: int) -> tuple[dict[str, Any], int]:
    """Put everybody on a static list who belongs to another audience, or for whom a condition holds, now.

    More than ``[audiences] fill_at_once`` customers are put on it in the background: the answer is 202 with the fill.
    When active rules read the list and a large part of the base would come, the answer is 409 ``rule-storm``.
    """
    other = {"schema_version": 2, "kind": KIND, "audience_ids": [data.get("audience_id")]}
    actor = current_actor()
    refuse_limited(actor, audience_id)
    if data.get("condition"):
        refuse_unreadable(actor, data["condition"])
    done = filling.fill(audience_id, data.get("condition") or other, actor, data.get("confirm"))
    return ({"added": done}, 200) if isinstance(done, int) else ({"added": 0, "fill": done}, 202)


@blueprint.route("/audiences/<int:audience_id>/fills")
@needs(Permission.AUDIENCES_READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(AudienceFillOut))
def list_fills(query: dict[str, Any], audience_id: int) -> dict[str, Any]:
    """Fills of a list within this key's data scope, newest first."""
    return fills.fill_page(current_actor(), audience_id, query)


@blueprint.route("/audience-fills/<int:fill_id>")
@needs(Permission.AUDIENCES_READ)
@blueprint.response(200, AudienceFillOut)
def get_fill(fill_id: int) -> dict[str, Any]:
    """How far a fill is."""
    actor = current_actor()
    return fills.fill_shown(Reader(actor), fills.fill_by_id(actor.scope, fill_id))


@blueprint.route("/audience-fills/<int:fill_id>/cancel", methods=["POST"])
@needs(Permission.AUDIENCES_WRITE)
@blueprint.response(200, AudienceFillOut)
def cancel_fill(fill_id: int) -> dict[str, Any]:
    """Stop; who is on the list by then stays on it."""
    actor = current_actor()
    with transaction():
        stopped = filling.cancel_fill(fills.fill_by_id(actor.scope, fill_id, lock=True))
        return fills.fill_shown(Reader(actor), stopped)
