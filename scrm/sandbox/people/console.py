"""What an administrator does in the console: tags, how members behave, raw events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrm.sandbox.callbacks.bodies import plain
from scrm.sandbox.errors import ControlError
from scrm.sandbox.model.tags import Tag, TagGroup
from scrm.sandbox.people.tag_changes import delete_groups, delete_tags, tags_changed

if TYPE_CHECKING:
    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]
ARCHIVE_SECONDS, ARCHIVE_AGENT = 15, 2_000_004


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


def shuffle_tags(sandbox: Sandbox, group_id: str | None) -> list[Delivery]:
    """Reorder the tags of a group: one shuffle event with its id; None reorders the groups, with an empty id."""
    if group_id is None:
        groups = list(sandbox.world.tag_groups.values())
        sandbox.world.rng.shuffle(groups)
        for order, item in enumerate(groups):
            item.order = order
        return tags_changed(sandbox, [""], None, "shuffle")
    group = sandbox.world.tag_groups.get(group_id)
    if group is None:
        raise ControlError(f"there is no tag group {group_id!r}", 404)
    tags = list(group.tags.values())
    sandbox.world.rng.shuffle(tags)
    for order, tag in enumerate(tags):
        tag.order = order
    return tags_changed(sandbox, [group_id], None, "shuffle")


def strategy_tag(
    sandbox: Sandbox, change: str, kind: str, strategy_id: int, item_id: str | None
) -> tuple[str, list[Delivery]]:
    """An administrator changes a tag of a rule group: the event carries StrategyId; no app may read such tags."""
    chosen = item_id or sandbox.world.ids.opaque("st")
    tag_type = None if change == "shuffle" else kind
    return chosen, tags_changed(sandbox, [chosen], tag_type, change, strategy_id)


def archive_notice(sandbox: Sandbox, app: str) -> list[Delivery]:
    """New messages are in the archive: msgaudit_notify, at most once in 15 seconds (§3.5)."""
    world, now = sandbox.world, sandbox.world.clock.now()
    target = world.app(app)
    if now - world.archive_told < ARCHIVE_SECONDS or not target.callback_url:
        return []
    world.archive_told = now
    plaintext = sandbox.outbox.envelope().event("msgaudit_notify", plain("AgentID", ARCHIVE_AGENT))
    return sandbox.outbox.emit("msgaudit_notify", "", [target], lambda _: plaintext)


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
