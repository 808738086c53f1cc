"""Tags and tag groups in the API."""

from __future__ import annotations

from typing import Any

from scrm.kernel.db import transaction
from scrm.kernel.http import PageQuery, api_blueprint, idempotent, page_schema
from scrm.kernel.permissions import Permission, current_actor, needs
from tags.catalog.queries import groups as queries
from tags.catalog.queries.switches import SwitchPlan
from tags.catalog.schemas import (
    ChangeIn,
    ConfirmedSwitchIn,
    GroupChangeIn,
    NewTagGroup,
    NewTags,
    SwitchIn,
    SwitchOut,
    TagGroupOut,
    TagList,
    TagOut,
    TagPullOut,
    TagQuery,
)
from tags.catalog.service import editing, exclusive, switching

blueprint = api_blueprint("tags", "标签 enterprise tags and their groups")


@blueprint.route("/tag-groups")
@needs(Permission.TAGS_READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(TagGroupOut))
def list_tag_groups(query: dict[str, Any]) -> dict[str, Any]:
    """Groups with their tags."""
    return queries.tag_group_page(query)


@blueprint.route("/tag-groups", methods=["POST"])
@needs(Permission.TAGS_WRITE)
@idempotent
@blueprint.arguments(NewTagGroup)
@blueprint.response(201, TagGroupOut)
def create_tag_group(data: dict[str, Any]) -> dict[str, Any]:
    """Make a group with its first tags; pending until WeCom accepts it, unless it is kept here alone."""
    group = editing.create_group(data["name"], data["position"], data["tags"], data["push"])
    exclusive.set_exclusive(group, data)
    return queries.tag_group_detail(group.id)


@blueprint.route("/tag-groups/<int:group_id>")
@needs(Permission.TAGS_READ)
@blueprint.response(200, TagGroupOut)
def get_tag_group(group_id: int) -> dict[str, Any]:
    """One group."""
    return queries.tag_group_detail(group_id)


@blueprint.route("/tag-groups/<int:group_id>", methods=["PATCH"])
@needs(Permission.TAGS_WRITE)
@blueprint.arguments(GroupChangeIn)
@blueprint.response(200, TagGroupOut)
def change_tag_group(data: dict[str, Any], group_id: int) -> dict[str, Any]:
    """Rename or reorder a group; on one that WeCom refused, this tries again. Or make it exclusive: what is there is
    settled in the background, by the priority of rules and the newest wish of people.
    """
    with transaction():
        exclusive.change_group(group_id, data)
    return queries.tag_group_detail(group_id)


@blueprint.route("/tag-groups/<int:group_id>/push/preview", methods=["POST"])
@needs(Permission.TAGS_READ)
@blueprint.arguments(SwitchIn)
@blueprint.response(200, SwitchOut)
def preview_switch(data: dict[str, Any], group_id: int) -> SwitchPlan:
    """What telling a group to WeCom, or no longer telling it, would do: relations, calls, how long; changes nothing."""
    return switching.plan_switch(group_id, data["push"], data["at_wecom"])


@blueprint.route("/tag-groups/<int:group_id>/push", methods=["POST"])
@needs(Permission.TAGS_WRITE)
@blueprint.arguments(ConfirmedSwitchIn)
@blueprint.response(202, TagGroupOut)
def switch_push(data: dict[str, Any], group_id: int) -> dict[str, Any]:
    """Have a group told to WeCom from now on, with all who hold its tags; or keep it here alone. Wants the preview's yes."""
    with transaction():
        switching.switch_group(group_id, data["push"], data["at_wecom"], data["confirm"])
    return queries.tag_group_detail(group_id)


@blueprint.route("/tag-groups/<int:group_id>", methods=["DELETE"])
@needs(Permission.TAGS_WRITE)
@blueprint.response(202)
def delete_tag_group(group_id: int) -> None:
    """Delete a group with its tags at WeCom and, once WeCom agreed, here."""
    with transaction():
        editing.delete_group(group_id)


@blueprint.route("/tag-groups/<int:group_id>/tags", methods=["POST"])
@needs(Permission.TAGS_WRITE)
@idempotent
@blueprint.arguments(NewTags)
@blueprint.response(201, TagList)
def create_tags(data: dict[str, Any], group_id: int) -> dict[str, Any]:
    """Make tags in a group; pending until WeCom accepts them."""
    return {"items": queries.tags_shown(editing.add_tags(group_id, data["tags"]))}


@blueprint.route("/tags")
@needs(Permission.TAGS_READ)
@blueprint.arguments(TagQuery, location="query")
@blueprint.response(200, page_schema(TagOut))
def list_tags(query: dict[str, Any]) -> dict[str, Any]:
    """Tags of all groups."""
    return queries.tag_page(query)


@blueprint.route("/tags/<int:tag_id>")
@needs(Permission.TAGS_READ)
@blueprint.response(200, TagOut)
def get_tag(tag_id: int) -> dict[str, Any]:
    """One tag, with the number of this key's customers who have it."""
    return queries.tag_detail(current_actor().scope, tag_id)


@blueprint.route("/tags/<int:tag_id>", methods=["PATCH"])
@needs(Permission.TAGS_WRITE)
@blueprint.arguments(ChangeIn)
@blueprint.response(200, TagOut)
def change_tag(data: dict[str, Any], tag_id: int) -> dict[str, Any]:
    """Rename or reorder a tag; on one that WeCom refused, this tries again."""
    with transaction():
        editing.edit_tag(tag_id, data)
    return queries.tag_detail(current_actor().scope, tag_id)


@blueprint.route("/tags/<int:tag_id>", methods=["DELETE"])
@needs(Permission.TAGS_WRITE)
@blueprint.response(202)
def delete_tag(tag_id: int) -> None:
    """Delete a tag at WeCom and, once WeCom agreed, here and on every customer."""
    with transaction():
        editing.delete_tag(tag_id)


@blueprint.route("/tags/pulls")
@needs(Permission.TAGS_READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(TagPullOut))
def list_tag_pulls(query: dict[str, Any]) -> dict[str, Any]:
    """Reports of fetching the tag list from WeCom: what was seen, new, changed, gone, and why one failed."""
    return queries.tag_pull_page(query)
