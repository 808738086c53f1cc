"""Customer groups getting a new owner through the API (wecom-api.md §4.12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrm.sandbox.model.groups import INHERITED, INHERITING, JOIN_INVITED, GroupMember
from scrm.sandbox.people.bulk_life import stored_group
from scrm.sandbox.people.group_life import MEMBER_TYPE, lag, owner_changed
from scrm.sandbox.people.natural_days import day_of, within_days

if TYPE_CHECKING:
    from scrm.sandbox.model.groups import Group
    from scrm.sandbox.model.people import Member
    from scrm.sandbox.model.world import World
    from scrm.sandbox.runtime import Sandbox

NOT_RESIGNED, NO_CUSTOMER_GROUP, RESIGNED, SAME_OWNER = 90500, 90501, 90502, 90504
BEING_INHERITED, ALREADY_INHERITED, INACTIVE, DISMISSED = 90507, 90508, 90510, 49008
TOO_OFTEN, TOO_MANY_TODAY = 40128, 45009
CAP_DAYS = 90


def start(sandbox: Sandbox, chat_id: str, heir: Member, owner_resigned: bool) -> int:
    """Begin one transfer; returns 0 or the errcode that stands beside this group."""
    world = sandbox.world
    group = stored_group(world, chat_id)
    if group is None:
        return NO_CUSTOMER_GROUP
    code = _refusal(world, group, heir, owner_resigned)
    if code:
        return code
    world.transfers.group_days[_today(world, group, heir)] += 1
    group.heir = heir.userid
    if owner_resigned:
        group.status = INHERITING
    wait = world.limits.group_transfer_seconds
    if wait > 0:
        sandbox.scheduler.at(world.clock.now() + wait, lambda: _complete(sandbox, group))
    else:
        _complete(sandbox, group)
    return 0


def replan(sandbox: Sandbox) -> None:
    """After a restart nothing of the wait is left: what was under way happens now."""
    for group in sandbox.world.groups.values():
        if group.heir is not None:
            _complete(sandbox, group)


def _refusal(world: World, group: Group, heir: Member, owner_resigned: bool) -> int:
    if group.dismissed:
        return DISMISSED
    if group.heir is not None:
        return BEING_INHERITED
    if group.owner == heir.userid:
        return SAME_OWNER
    if group.inactive:
        return INACTIVE
    code = _wrong_owner(world, group, owner_resigned)
    cap = world.limits.group_transfers_per_day
    if not code and cap and world.transfers.group_days[_today(world, group, heir)] >= cap:
        return TOO_MANY_TODAY
    return code


def _wrong_owner(world: World, group: Group, owner_resigned: bool) -> int:
    works_here = group.owner in world.members
    if owner_resigned:
        if not works_here:
            return 0
        return ALREADY_INHERITED if group.status == INHERITED else NOT_RESIGNED
    if not works_here:
        return RESIGNED
    times = world.transfers.group_completed.get(group.chat_id, [])
    cap = world.limits.transfers_per_90_days
    return TOO_OFTEN if cap and within_days(times, world.clock.now(), CAP_DAYS) >= cap else 0


def _today(world: World, group: Group, heir: Member) -> tuple[str, str, int]:
    return group.owner, heir.userid, day_of(world.clock.now())


def _complete(sandbox: Sandbox, group: Group) -> None:
    world, heir = sandbox.world, group.heir
    if heir is None or group.dismissed:
        return
    lag(world, group)
    old, group.owner, group.heir = group.owner, heir, None
    if heir not in group.members:
        group.members[heir] = GroupMember(heir, MEMBER_TYPE, world.clock.seconds(), JOIN_INVITED)
        group.version = world.ids.hexadecimal("member_version", 32)
    if old in world.left:
        group.status = INHERITED
        group.members.pop(old, None)
        group.version = world.ids.hexadecimal("member_version", 32)
    else:
        world.transfers.group_completed.setdefault(group.chat_id, []).append(world.clock.now())
    if world.config.callbacks_for_api_writes:
        owner_changed(sandbox, group)
