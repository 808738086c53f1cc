"""Portraits and timelines in the API."""

from __future__ import annotations

from typing import Any

from flask import Response

from scrm.kernel.http import api_blueprint, page_schema
from scrm.kernel.permissions import Permission, current_actor, needs
from scrm.portraits import queries
from scrm.portraits.schemas import EntryOut, PortraitOut, TimelineQuery

blueprint = api_blueprint("portraits", "客户画像 portraits and timelines of customers")


@blueprint.route("/customers/<int:customer_id>")
@needs(Permission.CUSTOMERS_READ)
@blueprint.response(200, PortraitOut)
def get_customer(customer_id: int) -> Response:
    """Show everything about one customer."""
    document = queries.portrait(
        customer_id, current_actor().scope
    )  # PostgreSQL made the JSON: nothing to dump
    return Response(document, mimetype="application/json")


@blueprint.route("/customers/<int:customer_id>/timeline")
@needs(Permission.CUSTOMERS_READ)
@blueprint.arguments(TimelineQuery, location="query")
@blueprint.response(200, page_schema(EntryOut))
def list_timeline(query: dict[str, Any], customer_id: int) -> dict[str, Any]:
    """List what happened to a customer, newest first."""
    return queries.timeline_page(current_actor().scope, customer_id, query)
