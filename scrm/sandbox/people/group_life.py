"""What happens to customer groups in the client: create, join, leave, rename, hand over, dismiss (§3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrm.sandbox.callbacks.bodies import chat_change, member_change, plain
from scrm.sandbox.errors import ControlError
from scrm.sandbox.model.groups import JOIN_INVITED, JOIN_QR, Group, GroupMember
from scrm.sandbox.people.bulk_life import stored_group
from scrm.sandbox.people.names import GROUP_NAMES
from scrm.sandbox.people.natural_days import day_of

if TYPE_CHECKING:
    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.model.world import World
    from scrm.sandbox.runtime import Sandbox

EVENT = "change_external_chat"
MEMBER_TYPE, OUTSIDE_TYPE = 1, 2
EVENT_JOIN_SCENES = {JOIN_QR: 3}  # every other way is 0 in the event (§3.2)


def create(sandbox: Sandbox, owner: str, name: str | None, people: list[str]) -> tuple[Group, list[Delivery]]:
    """A member makes a customer group with these people in it."""
    world = sandbox.world
    world.member(owner)
    group = Group(
        chat_id=world.ids.opaque("wr"),
        name=name if name is not None else world.rng.choice(GROUP_NAMES),
        owner=owner,
        create_time=world.clock.seconds(),
        version=world.ids.hexadecimal("member_version", 32),
        seen_from=world.clock.now() + world.limits.group_lag_seconds,
    )
    for person in dict.fromkeys([owner, *people]):
        group.members[person] = _joined(world, person, JOIN_INVITED, owner, None)
    world.groups[group.chat_id] = group
    return group, _emit(sandbox, group, "create")


def join(
    sandbox: Sandbox, chat_id: str, people: list[str], scene: int, invitor: str | None, state: str | None
) -> list[Delivery]:
    """People come in; the version chain moves one link."""
    group = find(sandbox.world, chat_id)
    new = [person for person in dict.fromkeys(people) if person not in group.members]
    if not new:
        raise ControlError("everybody named is already in the group", 409)
    lag(sandbox.world, group)
    for person in new:
        group.members[person] = _joined(sandbox.world, person, scene, invitor, state)
    scenes = plain("JoinScene", EVENT_JOIN_SCENES.get(scene, 0)) + plain("QuitScene", 0)
    return _members_changed(sandbox, group, "add_member", scenes, new)


def leave(sandbox: Sandbox, chat_id: str, people: list[str], removed: bool) -> list[Delivery]:
    """People leave by themselves (QuitScene 0) or are removed (1)."""
    group = find(sandbox.world, chat_id)
    gone = [person for person in dict.fromkeys(people) if person in group.members]
    if not gone:
        raise ControlError("nobody named is in the group", 409)
    if group.owner in gone:
        raise ControlError("the owner cannot leave; change the owner first", 409)
    lag(sandbox.world, group)
    for person in gone:
        del group.members[person]
    return _members_changed(sandbox, group, "del_member", plain("QuitScene", int(removed)), gone)


def change(sandbox: Sandbox, chat_id: str, detail: str, value: str) -> list[Delivery]:
    """change_name, change_notice or change_owner."""
    group = find(sandbox.world, chat_id)
    lag(sandbox.world, group)
    if detail == "change_owner":
        sandbox.world.member(value)
        if value not in group.members:
            group.members[value] = _joined(sandbox.world, value, JOIN_INVITED, group.owner, None)
        group.owner = value
    elif detail == "change_name":
        group.name = value
    else:
        group.notice = value
    return _emit(sandbox, group, "update", detail)


def lag(world: World, group: Group) -> None:
    """Reading calls may show the group as it is now for some seconds more; call before a change."""
    if world.limits.group_lag_seconds > 0:
        group.before_change(world.clock.now() + world.limits.group_lag_seconds)


def talk(world: World, chat_id: str, people: list[str], messages: int) -> None:
    """People in the group write; only the statistics show it."""
    group = find(world, chat_id)
    for person in people:
        if person not in group.members:
            raise ControlError(f"{person!r} is not in the group", 409)
        world.activity.group(chat_id, day_of(world.clock.now()))[person] += messages


def is_full(world: World, group: Group) -> bool:
    """Whether nobody else fits in."""
    return len(group.members) >= (group.capacity or world.limits.group_capacity)


def behave(world: World, chat_id: str, changes: dict[str, Any]) -> Group:
    """How a group is from now on: capacity (None: the corp's default), inactive (nobody wrote for a year)."""
    group = find(world, chat_id)
    for name, value in changes.items():
        setattr(group, name, value)
    return group


def attach_template(world: World, chat_id: str, template_id: str | None) -> None:
    """A person chooses the entry welcome of a group in the client (None: none any more)."""
    group = find(world, chat_id)
    if template_id is not None and template_id not in world.welcome_templates:
        raise ControlError(f"there is no welcome template {template_id!r}", 404)
    group.template_id = template_id


def owner_changed(sandbox: Sandbox, group: Group) -> list[Delivery]:
    """Tell of a new owner."""
    return _emit(sandbox, group, "update", "change_owner")


def dismiss(sandbox: Sandbox, chat_id: str) -> list[Delivery]:
    """The group is no more."""
    group = find(sandbox.world, chat_id)
    lag(sandbox.world, group)
    group.dismissed = True
    return _emit(sandbox, group, "dismiss")


def find(world: World, chat_id: str) -> Group:
    """A live group; ControlError 404 otherwise."""
    group = stored_group(world, chat_id)
    if group is None or group.dismissed:
        raise ControlError(f"there is no group {chat_id!r}", 404)
    return group


def _members_changed(
    sandbox: Sandbox, group: Group, detail: str, scenes: str, people: list[str]
) -> list[Delivery]:
    before, group.version = group.version, sandbox.world.ids.hexadecimal("member_version", 32)
    return _emit(sandbox, group, "update", detail, member_change(scenes, people, (before, group.version)))


def _emit(
    sandbox: Sandbox, group: Group, kind: str, detail: str | None = None, rest: str = ""
) -> list[Delivery]:
    body = chat_change(group.chat_id, kind, detail, rest)
    return sandbox.outbox.event(EVENT, kind, body, userids=[group.owner])


def _joined(world: World, person: str, scene: int, invitor: str | None, state: str | None) -> GroupMember:
    if person in world.members:
        kind = MEMBER_TYPE
    elif person in world.customers:
        kind = OUTSIDE_TYPE
    else:
        raise ControlError(f"there is no member or customer {person!r}", 404)
    return GroupMember(person, kind, world.clock.seconds(), scene, invitor, state)
