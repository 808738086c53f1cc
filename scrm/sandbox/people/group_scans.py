"""Scanning a group code: a group with room, or the next one WeCom makes by itself (wecom-api.md §4.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrm.sandbox.errors import ControlError
from scrm.sandbox.model.groups import JOIN_QR
from scrm.sandbox.people import group_life
from scrm.sandbox.people.bulk_life import stored_group
from scrm.sandbox.people.contacts import Person, find_or_make

if TYPE_CHECKING:
    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.model.group_entry import JoinWay
    from scrm.sandbox.model.groups import Group
    from scrm.sandbox.model.world import World
    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]
FIRST_SERIAL = 1


def find_way(world: World, config_id: str | None, state: str | None) -> JoinWay:
    """A join way by id, or the newest one with this state; ControlError 404 when there is none."""
    if config_id is not None:
        found = world.join_ways.get(config_id)
    else:
        found = next((item for item in reversed(world.join_ways.values()) if item.state == state), None)
    if found is None:
        raise ControlError("there is no join way with this config_id or state", 404)
    return found


def scan(sandbox: Sandbox, way: JoinWay, person: Person) -> Json:
    """Somebody scans the code and joins; ControlError 409 when every group is full and none may be made."""
    world = sandbox.world
    customer = find_or_make(world, person)
    groups = [stored_group(world, chat_id) for chat_id in (*way.settings["chat_id_list"], *way.rooms)]
    alive = [group for group in groups if group is not None and not group.dismissed]
    if not alive:
        raise ControlError("no group of this join way is left", 409)
    inside = next((item for item in alive if customer.external_userid in item.members), None)
    if inside is not None:
        return _told(customer.external_userid, inside, [], already=True)
    group = next((item for item in alive if not group_life.is_full(world, item)), None)
    made: list[Delivery] = []
    full = group is None
    if group is None:
        group, made = _next_room(sandbox, way, alive[-1])
    made += group_life.join(sandbox, group.chat_id, [customer.external_userid], JOIN_QR, None, way.state)
    return _told(customer.external_userid, group, made, created=full)


def _next_room(sandbox: Sandbox, way: JoinWay, last: Group) -> tuple[Group, list[Delivery]]:
    """A new group of the last one's owner, called name + serial number."""
    if not way.settings["auto_create_room"]:
        raise ControlError("every group of this join way is full", 409)
    base = way.settings["room_base_name"] or last.name
    first = way.settings["room_base_id"]
    serial = (FIRST_SERIAL if first is None else first) + way.made
    group, made = group_life.create(sandbox, last.owner, f"{base}{serial}", [])
    way.made += 1
    way.rooms.append(group.chat_id)
    return group, made


def _told(
    external_userid: str,
    group: Group,
    made: list[Delivery],
    created: bool = False,
    already: bool = False,
) -> Json:
    return {
        "external_userid": external_userid,
        "chat_id": group.chat_id,
        "name": group.name,
        "created": created,
        "already": already,
        "callbacks": [item.id for item in made],
    }
