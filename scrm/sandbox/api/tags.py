"""Enterprise tags and marking customers (wecom-api.md §4.3)."""

from __future__ import annotations

from scrm.sandbox.api.fields import integer, invalid, required, strings, text
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.api.relations import full_follow
from scrm.sandbox.errors import WecomError
from scrm.sandbox.model.tags import Tag, TagGroup
from scrm.sandbox.people.events import edited_follow
from scrm.sandbox.people.tag_changes import delete_groups, delete_tags, tags_changed

BAD_TAG, NAME_TAKEN, TOO_MANY_TAGS, NOT_YOURS, EMPTY = 40068, 40071, 40126, 81011, 40063
NO_USERID, NO_EXTERNAL = 41009, 41035
NAME_CHARS = 30
ORDER_LIMIT = 2**32


@api("externalcontact/get_corp_tag_list")
def get_corp_tag_list(call: Call) -> Json:
    """All groups, or those named by tag_id (which wins) or group_id."""
    tag_ids, group_ids = strings(call.body, "tag_id"), strings(call.body, "group_id")
    groups = call.world.tag_groups
    if tag_ids:
        wanted = {tag_id for tag_id in tag_ids if tag_id in call.world.tags}
        chosen = {call.world.tags[tag_id].group_id for tag_id in wanted}
        rows = [_group_json(groups[item], wanted, deleted=True) for item in groups if item in chosen]
    elif group_ids:
        rows = [_group_json(groups[item]) for item in group_ids if item in groups]
    else:
        rows = [_group_json(item) for item in groups.values()]
    return {"tag_group": rows}


@api("externalcontact/add_corp_tag")
def add_corp_tag(call: Call) -> Json:
    """Make tags in a new group, or append them to the group of that id or name."""
    wanted = _wanted_tags(call)
    group = _target_group(call)
    existing = {tag.name for tag in group.tags.values()} if group else set()
    for name in wanted:
        if name in existing:
            raise WecomError(NAME_TAKEN, f"tag name exist: {name}")
    limit = call.world.limits.corp_tags
    if len(call.world.tags) + len(wanted) > limit:
        raise WecomError(TOO_MANY_TAGS, f"corp tags exceed {limit}")
    if group is None:
        group = _new_group(call)
    made = [_new_tag(call, group, name, order) for name, order in wanted.items()]
    if call.world.config.callbacks_for_api_writes:
        tags_changed(call.sandbox, [tag.id for tag in made], "tag", "create")
    return {"tag_group": {**_group_head(group), "tag": [_tag_json(tag) for tag in made]}}


@api("externalcontact/edit_corp_tag")
def edit_corp_tag(call: Call) -> Json:
    """Rename or reorder a tag or a group this app made."""
    item_id = required(call.body, "id", BAD_TAG)
    item = call.world.tags.get(item_id) or call.world.tag_groups.get(item_id)
    if item is None:
        raise WecomError(BAD_TAG, "invalid tag id")
    _check_owner(call, item)
    name = text(call.body, "name", NAME_CHARS)
    order = _order(call.body) if call.body.get("order") is not None else None
    if name and name != item.name:
        _check_name_free(call, item, name)
        item.name = name
    if order is not None:
        item.order = order
    if call.world.config.callbacks_for_api_writes:
        kind = "tag" if isinstance(item, Tag) else "tag_group"
        tags_changed(call.sandbox, [item_id], kind, "update")
    return {}


@api("externalcontact/del_corp_tag")
def del_corp_tag(call: Call) -> Json:
    """Delete tags and groups this app made; a group dies with its last tag."""
    tag_ids, group_ids = strings(call.body, "tag_id"), strings(call.body, "group_id")
    if not tag_ids and not group_ids:
        raise WecomError(BAD_TAG, "tag_id and group_id are both empty")
    world = call.world
    if any(item not in world.tags for item in tag_ids) or any(
        item not in world.tag_groups for item in group_ids
    ):
        raise WecomError(BAD_TAG, "invalid tag id")
    for tag_id in tag_ids:
        _check_owner(call, world.tags[tag_id])
    for group_id in group_ids:
        _check_owner(call, world.tag_groups[group_id])
    quiet = not world.config.callbacks_for_api_writes
    delete_tags(call.sandbox, tag_ids, quiet)
    delete_groups(call.sandbox, group_ids, quiet)
    return {}


@api("externalcontact/mark_tag")
def mark_tag(call: Call) -> Json:
    """Add and remove tags of one relation; a tag already there is a no-op."""
    body = call.body
    userid = required(body, "userid", NO_USERID)
    external_userid = required(body, "external_userid", NO_EXTERNAL)
    add, remove = strings(body, "add_tag"), strings(body, "remove_tag")
    if not add and not remove:
        raise WecomError(BAD_TAG, "add_tag and remove_tag are both empty")
    follow = full_follow(call, userid, external_userid)
    for tag_id in (*add, *remove):
        if tag_id not in call.world.tags:
            raise WecomError(BAD_TAG, "invalid tagid")
    kept = [item for item in follow.tags if item not in set(remove)]
    follow.tags = tuple(dict.fromkeys([*kept, *(item for item in add if item not in set(remove))]))
    if call.world.config.callbacks_for_api_writes:
        edited_follow(call.sandbox, follow)
    return {}


def _wanted_tags(call: Call) -> dict[str, int]:
    """Names to order values; same names in one request collapse to one."""
    raw = call.body.get("tag")
    if not isinstance(raw, list) or not raw:
        raise WecomError(EMPTY, "missing tag")
    wanted: dict[str, int] = {}
    for item in raw:
        if not isinstance(item, dict):
            raise invalid("tag", "must be a list of objects")
        name = required(item, "name")
        if len(name) > NAME_CHARS:
            raise invalid("tag.name", f"exceeds {NAME_CHARS} characters")
        wanted.setdefault(name, _order(item))
    return wanted


def _target_group(call: Call) -> TagGroup | None:
    group_id = text(call.body, "group_id")
    if group_id:
        found = call.world.tag_groups.get(group_id)
        if found is None:
            raise WecomError(BAD_TAG, "invalid group_id")
        return found
    name = required(call.body, "group_name")
    if len(name) > NAME_CHARS:
        raise invalid("group_name", f"exceeds {NAME_CHARS} characters")
    return next((item for item in call.world.tag_groups.values() if item.name == name), None)


def _new_group(call: Call) -> TagGroup:
    world = call.world
    group = TagGroup(
        id=world.ids.opaque("et"),
        name=call.body["group_name"],
        create_time=world.clock.seconds(),
        order=_order(call.body),
        creator=call.app.config.name,
    )
    world.tag_groups[group.id] = group
    return group


def _new_tag(call: Call, group: TagGroup, name: str, order: int) -> Tag:
    world = call.world
    tag = Tag(world.ids.opaque("et"), name, group.id, world.clock.seconds(), order, call.app.config.name)
    group.tags[tag.id] = tag
    world.tags[tag.id] = tag
    return tag


def _order(body: Json) -> int:
    value = integer(body, "order")
    if not 0 <= value < ORDER_LIMIT:
        raise invalid("order", "must be in [0, 2^32)")
    return value


def _check_owner(call: Call, item: Tag | TagGroup) -> None:
    if not call.app.config.system and item.creator != call.app.config.name:
        raise WecomError(NOT_YOURS, "no permission on this tag")


def _check_name_free(call: Call, item: Tag | TagGroup, name: str) -> None:
    siblings: list[Tag] | list[TagGroup]
    if isinstance(item, Tag):
        siblings = list(call.world.tag_groups[item.group_id].tags.values())
    else:
        siblings = list(call.world.tag_groups.values())
    if any(other.name == name for other in siblings):
        raise WecomError(NAME_TAKEN, f"tag name exist: {name}")


def _group_head(group: TagGroup) -> Json:
    return {
        "group_id": group.id,
        "group_name": group.name,
        "create_time": group.create_time,
        "order": group.order,
    }


def _group_json(group: TagGroup, only: set[str] | None = None, deleted: bool = False) -> Json:
    tags = [tag for tag in group.tags.values() if only is None or tag.id in only]
    rows = [_tag_json(tag) | ({"deleted": False} if deleted else {}) for tag in tags]
    return _group_head(group) | ({"deleted": False} if deleted else {}) | {"tag": rows}


def _tag_json(tag: Tag) -> Json:
    return {"id": tag.id, "name": tag.name, "create_time": tag.create_time, "order": tag.order}
