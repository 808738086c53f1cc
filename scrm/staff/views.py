"""Staff in the API."""

from __future__ import annotations

from typing import Any

from scrm.kernel.http import api_blueprint, page_schema
from scrm.kernel.permissions import Permission, current_actor, needs
from scrm.staff import queries
from scrm.staff.models import Department, Staff
from scrm.staff.schemas import DepartmentList, StaffOut, StaffQuery

blueprint = api_blueprint("staff", "员工 members of staff")


@blueprint.route("/staff")
@needs(Permission.STAFF_READ)
@blueprint.arguments(StaffQuery, location="query")
@blueprint.response(200, page_schema(StaffOut))
def list_staff(query: dict[str, Any]) -> dict[str, Any]:
    """List members, newest first."""
    return queries.staff_page(current_actor().scope, query)


@blueprint.route("/staff/<int:staff_id>")
@needs(Permission.STAFF_READ)
@blueprint.response(200, StaffOut)
def get_staff(staff_id: int) -> Staff:
    """Show one member."""
    return queries.staff_by_id(current_actor().scope, staff_id)


@blueprint.route("/departments")
@needs(Permission.STAFF_READ)
@blueprint.response(200, DepartmentList)
def list_departments() -> dict[str, list[Department]]:
    """List all departments in WeCom's order, each with the one above it: what ``department_ids`` may name."""
    return {"items": queries.departments()}
