"""Builds a seeded corp quickly: departments, members, customers, tags, groups, kf accounts."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scrm.sandbox.model.groups import Group, GroupMember
from scrm.sandbox.model.kf import KfAccount
from scrm.sandbox.model.people import Customer, Department, Follow, Member
from scrm.sandbox.model.tags import Tag, TagGroup
from scrm.sandbox.people.names import DEPARTMENTS, FULL_NAMES, GROUP_NAMES, TAG_GROUPS

if TYPE_CHECKING:
    from scrm.sandbox.model.world import World

DAY = 86_400
PAST_DAYS = 180
MEMBER_TYPE, OUTSIDE_TYPE = 1, 2
ADD_WAYS = (1, 1, 1, 2, 3, 4, 6, 10, 16)


@dataclass(frozen=True, slots=True)
class Plan:
    """How large the corp is; `tag_share` of the customers carry 1 to 3 tags."""

    members: int = 5
    departments: int = 2
    customers: int = 0
    groups: int = 0
    group_size: int = 10
    tag_groups: int = 2
    tags_per_group: int = 4
    tag_share: float = 0.5
    second_follow_share: float = 0.05
    kf_accounts: int = 1


def populate(world: World, plan: Plan) -> dict[str, Any]:
    """Add the plan to the corp and say what was made. Collection is paused: nothing made here is garbage."""
    gc.disable()
    try:
        departments = _departments(world, plan.departments)
        members = _members(world, plan.members, departments)
        tags = _tags(world, plan.tag_groups, plan.tags_per_group)
        customers = _customers(world, plan, members, tags)
        groups = _groups(world, plan, members, customers)
        accounts = _kf_accounts(world, plan.kf_accounts, members)
    finally:
        gc.freeze()
        gc.enable()
    return {
        "members": [item.userid for item in members],
        "departments": departments,
        "customers": len(customers),
        "tags": len(tags),
        "groups": groups,
        "kf_accounts": accounts,
    }


def _departments(world: World, number: int) -> list[int]:
    made = []
    for index in range(number):
        department_id = max(world.departments) + 1
        name = DEPARTMENTS[index % len(DEPARTMENTS)] + (str(index) if index >= len(DEPARTMENTS) else "")
        world.departments[department_id] = Department(department_id, name, 1, 1_000 - index)
        made.append(department_id)
    return made


def _members(world: World, number: int, departments: list[int]) -> list[Member]:
    made = []
    for _ in range(number):
        serial = len(world.members) + 1
        department = departments[serial % len(departments)] if departments else 1
        member = Member(
            userid=f"staff{serial:04d}",
            name=world.rng.choice(FULL_NAMES),
            departments=(department,),
            position="销售顾问",
            mobile=f"139{serial:08d}",
            gender=str(world.rng.randint(1, 2)),
        )
        world.members[member.userid] = member
        made.append(member)
    return made


def _tags(world: World, groups: int, per_group: int) -> list[str]:
    made: list[str] = []
    now = world.clock.seconds()
    for index in range(groups):
        name, names = TAG_GROUPS[index % len(TAG_GROUPS)]
        label = name + (str(index) if index >= len(TAG_GROUPS) else "")
        group = TagGroup(world.ids.opaque("et"), label, now, 0)
        world.tag_groups[group.id] = group
        for number in range(per_group):
            text = names[number] if number < len(names) else f"{names[0]}{number}"
            tag = Tag(world.ids.opaque("et"), text, group.id, now, per_group - number)
            group.tags[tag.id] = world.tags[tag.id] = tag
            made.append(tag.id)
    return made


def _customers(world: World, plan: Plan, members: list[Member], tags: list[str]) -> list[Customer]:
    made: list[Customer] = []
    if not members:
        return made
    random, rng, opaque, now = world.rng.random, world.rng, world.ids.opaque, world.clock.seconds()
    names, ways = len(FULL_NAMES), len(ADD_WAYS)
    for index in range(plan.customers):
        name = FULL_NAMES[int(random() * names)]
        customer = Customer(opaque("wm"), name, gender=int(random() * 3))
        world.customers[customer.external_userid] = customer
        added = now - int(random() * PAST_DAYS * DAY)
        marked = _some_tags(rng, tags) if tags and random() < plan.tag_share else ()
        _connect(customer, members[index % len(members)], added, ADD_WAYS[int(random() * ways)], marked)
        if len(members) > 1 and random() < plan.second_follow_share:
            second = members[(index + 1 + int(random() * (len(members) - 1))) % len(members)]
            if second is not members[index % len(members)]:
                _connect(customer, second, min(now, added + DAY), 201, ())
        made.append(customer)
    return made


def _some_tags(rng: Any, tags: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tags[int(rng.random() * len(tags))] for _ in range(1 + int(rng.random() * 3))))


def _connect(customer: Customer, member: Member, added: int, way: int, tags: tuple[str, ...]) -> None:
    follow = Follow(
        member.userid,
        customer.external_userid,
        added,
        add_way=way,
        tags=tags,
        last_chat=added,
        remark=customer.name,
    )
    customer.follows.append(follow)
    member.add(follow)


def _groups(world: World, plan: Plan, members: list[Member], customers: list[Customer]) -> list[str]:
    made: list[str] = []
    for index in range(plan.groups if members else 0):
        owner = members[index % len(members)]
        created = world.clock.seconds() - int(world.rng.random() * PAST_DAYS * DAY)
        group = Group(
            chat_id=world.ids.opaque("wr"),
            name=f"{GROUP_NAMES[index % len(GROUP_NAMES)]}{index + 1}",
            owner=owner.userid,
            create_time=created,
            version=world.ids.hexadecimal("member_version"),
        )
        group.members[owner.userid] = GroupMember(owner.userid, MEMBER_TYPE, created)
        count = min(max(0, plan.group_size - 1), len(customers))
        for customer in world.rng.sample(customers, count):
            person = GroupMember(customer.external_userid, OUTSIDE_TYPE, created + 60, invitor=owner.userid)
            group.members[customer.external_userid] = person
        world.groups[group.chat_id] = group
        made.append(group.chat_id)
    return made


def _kf_accounts(world: World, number: int, members: list[Member]) -> list[str]:
    made: list[str] = []
    for index in range(number):
        account = KfAccount(
            open_kfid=world.ids.opaque("wk"),
            name=f"客服{len(world.kf.accounts) + 1}",
            avatar=f"http://wx.qlogo.invalid/kf{index}",
            servicers={item.userid: 0 for item in members[:3]},
        )
        world.kf.accounts[account.open_kfid] = account
        made.append(account.open_kfid)
    return made
