"""Tags of customers in the API."""

from __future__ import annotations

from typing import Any

from scrm.kernel.db import transaction
from scrm.kernel.http import api_blueprint
from scrm.kernel.permissions import Permission, current_actor, needs
from tags import queries
from tags.rules.queries.why import why_tag
from tags.schemas import CustomerTagsIn, CustomerTagsOut, WhyOut
from tags.tagging.service.tagging import TaggingRequest, tag_customer

blueprint = api_blueprint("customer-tags", "客户标签 tags of customers, with their reasons")


@blueprint.route("/customers/<int:customer_id>/tags")
@needs(Permission.CUSTOMERS_READ)
@blueprint.response(200, CustomerTagsOut)
def get_customer_tags(customer_id: int) -> dict[str, Any]:
    """Which tags a customer has, why, and what WeCom said to each."""
    return queries.customer_tags(current_actor().scope, customer_id)


@blueprint.route("/customers/<int:customer_id>/tags/<int:tag_id>/why")
@needs(Permission.CUSTOMERS_READ)
@blueprint.response(200, WhyOut)
def get_reasons(customer_id: int, tag_id: int) -> dict[str, Any]:
    """Why a customer has a tag, or had it: every source on every relation; of a rule its version, run, leaves and their
    values at the time.
    """
    return why_tag(current_actor(), customer_id, tag_id)


@blueprint.route("/customers/<int:customer_id>/tags", methods=["POST"])
@needs(Permission.CUSTOMERS_WRITE)
@blueprint.arguments(CustomerTagsIn)
@blueprint.response(200, CustomerTagsOut)
def change_customer_tags(data: dict[str, Any], customer_id: int) -> dict[str, Any]:
    """Set tags and take tags away by hand; pending until WeCom accepts. Taking away overrules rules."""
    actor = current_actor()
    with transaction():
        tag_customer(
            actor.scope,
            TaggingRequest(
                customer_id, data["staff_id"], data["add"], data["remove"], f"manual:{actor.name}"
            ),
        )
    return queries.customer_tags(actor.scope, customer_id)
