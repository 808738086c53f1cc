"""Tags of members, and the update_tag callback (wecom-api.md §3.6, §5.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrm.sandbox.callbacks.bodies import cdata, plain
from scrm.sandbox.errors import ControlError
from scrm.sandbox.model.people import MemberTag
from scrm.sandbox.people.departments import find as find_department

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.runtime import Sandbox

EVENT, FEATURE, CHANGE = "change_contact", "contacts", "update_tag"
Added = tuple[list[str], list[int]]


def create(sandbox: Sandbox, name: str) -> MemberTag:
    """An empty tag; nobody is told before it has members."""
    tags = sandbox.world.member_tags
    if any(item.name == name for item in tags.values()):
        raise ControlError(f"there already is a member tag {name!r} (40071)", 409)
    tag = MemberTag(max(tags, default=0) + 1, name)
    tags[tag.id] = tag
    return tag


def change(sandbox: Sandbox, tag_id: int, added: Added, removed: Added) -> list[Delivery]:
    """Put people and departments under a tag and take others away: one update_tag with what really changed."""
    world = sandbox.world
    tag = world.member_tags.get(tag_id)
    if tag is None:
        raise ControlError(f"there is no member tag {tag_id}", 404)
    for userid in added[0]:
        world.member(userid)
    for department in added[1]:
        find_department(world, department)
    gone = [item for item in removed[0] if item in tag.users], [i for i in removed[1] if i in tag.parties]
    tag.users = [item for item in tag.users if item not in gone[0]]
    tag.parties = [item for item in tag.parties if item not in gone[1]]
    new = [item for item in added[0] if item not in tag.users], [i for i in added[1] if i not in tag.parties]
    tag.users += new[0]
    tag.parties += new[1]
    rest = (
        _items("AddUserItems", new[0])
        + _items("DelUserItems", gone[0])
        + _items("AddPartyItems", new[1])
        + _items("DelPartyItems", gone[1])
    )
    if not rest:
        return []
    return sandbox.outbox.event(
        EVENT, CHANGE, cdata("ChangeType", CHANGE) + plain("TagId", tag_id) + rest, FEATURE
    )


def _items(name: str, items: Iterable[object]) -> str:
    text = ",".join(map(str, items))
    return cdata(name, text) if text else ""
