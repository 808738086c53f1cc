"""Giving a member another userid, wherever the old one stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrm.sandbox.errors import ControlError

if TYPE_CHECKING:
    from scrm.sandbox.model.groups import Group
    from scrm.sandbox.model.world import World


def rename(world: World, old: str, new: str) -> None:
    """Rename; ControlError 409 when the new userid is taken or has never been free of case."""
    if any(known.lower() == new.lower() and known != old for known in (*world.members, *world.left)):
        raise ControlError(f"there already is a member {new!r}", 409)
    member = world.members.pop(old)
    member.userid = new
    world.members[new] = member
    for follow in member.follows.values():
        follow.userid = new
    for group in world.groups.values():
        _in_group(group, old, new)
    _in_ways(world, old, new)
    _in_transfers(world, old, new)
    if world.bulk is not None and old in world.bulk.index:
        world.bulk.rename(old, new)


def _in_group(group: Group, old: str, new: str) -> None:
    group.owner = new if group.owner == old else group.owner
    group.heir = new if group.heir == old else group.heir
    group.admins = [new if item == old else item for item in group.admins]
    if old in group.members:
        group.members = {new if key == old else key: item for key, item in group.members.items()}
        group.members[new].userid = new


def _in_ways(world: World, old: str, new: str) -> None:
    for way in world.contact_ways.values():
        way.people = _replaced(way.people, old, new)
        way.settings["user"] = list(_replaced(way.settings["user"], old, new))
    for link in world.acquisition.links.values():
        link.people = _replaced(link.people, old, new)
        link.range["user_list"] = list(_replaced(link.range["user_list"], old, new))
    for account in world.kf.accounts.values():
        if old in account.servicers:
            account.servicers[new] = account.servicers.pop(old)
    for tag in world.member_tags.values():
        tag.users = list(_replaced(tag.users, old, new))


def _in_transfers(world: World, old: str, new: str) -> None:
    pairs = world.transfers.pairs
    for key in [key for key in pairs if old in key]:
        records = pairs.pop(key)
        for item in records.values():
            item.handover = new if item.handover == old else item.handover
            item.takeover = new if item.takeover == old else item.takeover
        pairs[new if key[0] == old else key[0], new if key[1] == old else key[1]] = records


def _replaced(people: tuple[str, ...] | list[str], old: str, new: str) -> tuple[str, ...]:
    return tuple(new if item == old else item for item in people)
