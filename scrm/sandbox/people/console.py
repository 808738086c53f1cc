"""What an administrator does in the console: tags, staff, departments, kf accounts, raw events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrm.sandbox.callbacks.bodies import cdata
from scrm.sandbox.errors import ControlError
from scrm.sandbox.model.groups import NORMAL, OWNER_RESIGNED
from scrm.sandbox.model.people import Department, Member
from scrm.sandbox.model.tags import Tag, TagGroup
from scrm.sandbox.people.bulk_life import store_all
from scrm.sandbox.people.tag_changes import delete_groups, delete_tags, tags_changed

if TYPE_CHECKING:
    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]
CONTACTS = "contacts"
ROOT = 1


def create_tags(sandbox: Sandbox, group_name: str, names: list[str]) -> tuple[TagGroup, list[Delivery]]:
    """Tags in the group of that name, which is made when missing; one create event each."""
    world, now = sandbox.world, sandbox.world.clock.seconds()
    group = next((item for item in world.tag_groups.values() if item.name == group_name), None)
    made: list[Delivery] = []
    if group is None:
        group = TagGroup(world.ids.opaque("et"), group_name, now)
        world.tag_groups[group.id] = group
        made += tags_changed(sandbox, [group.id], "tag_group", "create")
    taken = {tag.name for tag in group.tags.values()}
    for name in names:
        if name in taken:
            raise ControlError(f"the group already has a tag {name!r}", 409)
        tag = Tag(world.ids.opaque("et"), name, group.id, now)
        group.tags[tag.id] = world.tags[tag.id] = tag
        made += tags_changed(sandbox, [tag.id], "tag", "create")
    return group, made


def rename_tag(sandbox: Sandbox, item_id: str, name: str | None, order: int | None) -> list[Delivery]:
    """Rename or reorder a tag or group."""
    item = sandbox.world.tags.get(item_id) or sandbox.world.tag_groups.get(item_id)
    if item is None:
        raise ControlError(f"there is no tag or tag group {item_id!r}", 404)
    item.name = item.name if name is None else name
    item.order = item.order if order is None else order
    return tags_changed(sandbox, [item_id], "tag" if isinstance(item, Tag) else "tag_group", "update")


def remove_tag(sandbox: Sandbox, item_id: str) -> list[Delivery]:
    """Delete a tag or group; a group dies with its last tag."""
    if item_id in sandbox.world.tags:
        return delete_tags(sandbox, [item_id], quiet=False)
    if item_id in sandbox.world.tag_groups:
        return delete_groups(sandbox, [item_id], quiet=False)
    raise ControlError(f"there is no tag or tag group {item_id!r}", 404)


def shuffle_tags(sandbox: Sandbox, group_id: str) -> list[Delivery]:
    """Reorder the tags of a group: one shuffle event with the group's id."""
    group = sandbox.world.tag_groups.get(group_id)
    if group is None:
        raise ControlError(f"there is no tag group {group_id!r}", 404)
    tags = list(group.tags.values())
    sandbox.world.rng.shuffle(tags)
    for order, tag in enumerate(tags):
        tag.order = order
    return tags_changed(sandbox, [group_id], None, "shuffle")


def add_member(sandbox: Sandbox, userid: str, name: str, departments: list[int]) -> list[Delivery]:
    """A new member, or one who comes back to what nobody took over: create_user."""
    world = sandbox.world
    if userid in world.members:
        raise ControlError(f"there already is a member {userid!r}", 409)
    for item in departments:
        if item not in world.departments:
            raise ControlError(f"there is no department {item}", 404)
    member = world.left.pop(userid, None) or Member(userid, name, (ROOT,))
    member.name, member.departments, member.left_at = name, tuple(departments) or (ROOT,), 0
    world.members[userid] = member
    _mark_groups(sandbox, userid, NORMAL)
    rest = (
        cdata("ChangeType", "create_user")
        + cdata("UserID", userid)
        + cdata("Name", name)
        + cdata("Department", ",".join(map(str, member.departments)))
        + "<Status>1</Status>"
    )
    return sandbox.outbox.event("change_contact", "create_user", rest, CONTACTS)


def remove_member(sandbox: Sandbox, userid: str) -> list[Delivery]:
    """A member leaves the corp: delete_user. Their customers become unassigned and still show the relation."""
    world = sandbox.world
    member = world.member(userid)
    store_all(world, userid)
    member.left_at = world.clock.seconds()
    world.left[userid] = world.members.pop(userid)
    _mark_groups(sandbox, userid, OWNER_RESIGNED)
    rest = cdata("ChangeType", "delete_user") + cdata("UserID", userid)
    return sandbox.outbox.event("change_contact", "delete_user", rest, CONTACTS)


def _mark_groups(sandbox: Sandbox, owner: str, status: int) -> None:
    for group in sandbox.world.groups.values():
        if group.owner == owner:
            group.status = status


def add_department(sandbox: Sandbox, name: str, parentid: int) -> tuple[int, list[Delivery]]:
    """A new department: create_party."""
    world = sandbox.world
    if parentid not in world.departments:
        raise ControlError(f"there is no department {parentid}", 404)
    department_id = max(world.departments) + 1
    world.departments[department_id] = Department(department_id, name, parentid, 0)
    rest = (
        cdata("ChangeType", "create_party")
        + f"<Id>{department_id}</Id>"
        + cdata("Name", name)
        + cdata("ParentId", str(parentid))
        + "<Order>0</Order>"
    )
    return department_id, sandbox.outbox.event("change_contact", "create_party", rest, CONTACTS)


def behave(sandbox: Sandbox, userids: list[str] | None, changes: Json) -> list[str]:
    """How members behave from now on: confirm_seconds, console_welcome, contact_feature, contact_limit, verified, status."""
    world = sandbox.world
    chosen = list(world.members.values()) if userids is None else [world.member(item) for item in userids]
    for member in chosen:
        for name, value in changes.items():
            setattr(member, name, value)
    return [member.userid for member in chosen]


def raw_event(sandbox: Sandbox, app: str | None, event: str, rest: str, feature: str) -> list[Delivery]:
    """Any event body the other calls do not make: `rest` is XML put after the common fields."""
    plaintext = sandbox.outbox.envelope().event(event, rest)
    return sandbox.outbox.emit(event, "", sandbox.outbox.apps(feature, only=app), lambda _: plaintext)
