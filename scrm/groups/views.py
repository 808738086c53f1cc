"""Customer groups in the API."""

from __future__ import annotations

from typing import Any

from scrm.groups import queries
from scrm.groups.models import CustomerGroup
from scrm.groups.schemas import GroupOut, GroupQuery, MemberQuery, StayOut
from scrm.kernel.http import api_blueprint, page_schema
from scrm.kernel.permissions import Permission, current_actor, needs

blueprint = api_blueprint("groups", "客户群 customer groups")


@blueprint.route("/groups")
@needs(Permission.GROUPS_READ)
@blueprint.arguments(GroupQuery, location="query")
@blueprint.response(200, page_schema(GroupOut))
def list_groups(query: dict[str, Any]) -> dict[str, Any]:
    """List groups, newest first."""
    return queries.group_page(current_actor().scope, query)


@blueprint.route("/groups/<int:group_id>")
@needs(Permission.GROUPS_READ)
@blueprint.response(200, GroupOut)
def get_group(group_id: int) -> CustomerGroup:
    """Show one group."""
    return queries.group_by_id(current_actor().scope, group_id)


@blueprint.route("/groups/<int:group_id>/members")
@needs(Permission.GROUPS_READ)
@blueprint.arguments(MemberQuery, location="query")
@blueprint.response(200, page_schema(StayOut))
def list_members(query: dict[str, Any], group_id: int) -> dict[str, Any]:
    """List stays in a group, newest first."""
    return queries.member_page(current_actor().scope, group_id, query)
