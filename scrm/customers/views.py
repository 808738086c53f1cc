"""Customers in the API; one customer with everything is the portrait (scrm.portraits)."""

from __future__ import annotations

from typing import Any

from scrm.customers import queries
from scrm.customers.schemas import CustomerOut, CustomerQuery, RemarkIn, RemarkOut
from scrm.customers.service.remarks import plan_remark
from scrm.kernel.db import transaction
from scrm.kernel.http import api_blueprint, page_schema
from scrm.kernel.permissions import Permission, current_actor, needs

blueprint = api_blueprint("customers", "客户 customers (external contacts)")


@blueprint.route("/customers")
@needs(Permission.CUSTOMERS_READ)
@blueprint.arguments(CustomerQuery, location="query")
@blueprint.response(200, page_schema(CustomerOut))
def list_customers(query: dict[str, Any]) -> dict[str, Any]:
    """List customers, newest first."""
    return queries.customer_page(current_actor().scope, query)


@blueprint.route("/customers/<int:customer_id>/follows/<int:staff_id>", methods=["PATCH"])
@needs(Permission.CUSTOMERS_WRITE)
@blueprint.arguments(RemarkIn)
@blueprint.response(202, RemarkOut)
def change_remark(data: dict[str, Any], customer_id: int, staff_id: int) -> dict[str, int]:
    """Change remark, description, company or phones of a relation at WeCom."""
    with transaction():
        return {"effect_id": plan_remark(current_actor().scope, customer_id, staff_id, data)}
