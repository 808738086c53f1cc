"""Deleting tags wherever they are used, and the change_external_tag callbacks (wecom-api.md §3.3, §4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrm.sandbox.callbacks.bodies import tag_change

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.runtime import Sandbox

EVENT = "change_external_tag"


def tags_changed(
    sandbox: Sandbox, ids: Iterable[str], kind: str | None, change: str, strategy_id: int | None = None
) -> list[Delivery]:
    """Emit one callback per id; `kind` is tag, tag_group or None (shuffle); rule-group tags have a strategy."""
    made: list[Delivery] = []
    for item_id in ids:
        made.extend(sandbox.outbox.event(EVENT, change, tag_change(item_id, kind, change, strategy_id)))
    return made


def delete_tags(sandbox: Sandbox, tag_ids: list[str], quiet: bool) -> list[Delivery]:
    """Take tags off everybody; a group whose last tag goes, goes too. No event per customer."""
    world = sandbox.world
    gone = set(tag_ids)
    _untag(sandbox, gone)
    emptied: list[str] = []
    for tag_id in dict.fromkeys(tag_ids):
        group = world.tag_groups[world.tags.pop(tag_id).group_id]
        del group.tags[tag_id]
        if not group.tags:
            del world.tag_groups[group.id]
            emptied.append(group.id)
    if quiet:
        return []
    return tags_changed(sandbox, gone, "tag", "delete") + tags_changed(
        sandbox, emptied, "tag_group", "delete"
    )


def delete_groups(sandbox: Sandbox, group_ids: list[str], quiet: bool) -> list[Delivery]:
    """Delete groups with all their tags; one event per group."""
    world = sandbox.world
    present = [item for item in dict.fromkeys(group_ids) if item in world.tag_groups]
    _untag(sandbox, {tag_id for item in present for tag_id in world.tag_groups[item].tags})
    for group_id in present:
        for tag_id in world.tag_groups.pop(group_id).tags:
            del world.tags[tag_id]
    return [] if quiet else tags_changed(sandbox, present, "tag_group", "delete")


def _untag(sandbox: Sandbox, gone: set[str]) -> None:
    if not gone:
        return
    if sandbox.world.bulk is not None:
        sandbox.world.bulk.forget_tags(gone)
    for member in (*sandbox.world.members.values(), *sandbox.world.left.values()):
        for follow in member.follows.values():
            if follow.tags and not gone.isdisjoint(follow.tags):
                follow.tags = tuple(item for item in follow.tags if item not in gone)
