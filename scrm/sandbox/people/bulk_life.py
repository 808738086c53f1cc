"""Making a corp of computed customers, and altering an exact share of it between two syncs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrm.sandbox.errors import ControlError
from scrm.sandbox.model.bulk import (
    CHOICES,
    OWN,
    SCALE,
    STRIDE,
    Alteration,
    BulkCorp,
    Customers,
    hits,
    salt_of,
)
from scrm.sandbox.people.names import FULL_NAMES
from scrm.sandbox.people.population import ADD_WAYS, Plan, populate

if TYPE_CHECKING:
    import random

    from scrm.sandbox.model.groups import Group
    from scrm.sandbox.model.people import Follow
    from scrm.sandbox.model.world import World

Json = dict[str, Any]
REMARK, NAME, TAGS, GONE = "remark", "name", "tags", "gone"
CHANGES = (REMARK, NAME, TAGS, GONE)
GROUP_NAME, GROUP_GONE = "group_name", "group_gone"
GROUP_CHANGES = (GROUP_NAME, GROUP_GONE)
MOST_TAGS = 3
SAMPLE = 50


def make(world: World, plan: Plan, shares: dict[str, float], sizes: dict[str, int]) -> Json:
    """Real members, departments and tags; computed customers and groups. ControlError when there are some already.

    `shares`: second_follow_share, tag_share, state_share. `sizes`: customers_per_member, groups_per_member,
    group_size, states.
    """
    if world.bulk is not None:
        raise ControlError("the corp has computed customers already; reset it first", 409)
    if sizes["customers_per_member"] >= STRIDE:
        raise ControlError(f"customers_per_member must be under {STRIDE}")
    made = populate(world, plan)
    rng, userids = world.rng, tuple(made["members"])
    bulk = BulkCorp(
        seed=salt_of(world.config.seed, len(userids)),
        userids=userids,
        per_member=sizes["customers_per_member"],
        born=world.clock.seconds() - 1,
        names=FULL_NAMES,
        tag_choices=_tag_choices(rng, list(world.tags), shares["tag_share"]),
        state_choices=_state_choices(sizes["states"], shares["state_share"]),
        ways=ADD_WAYS,
        shared=int(shares["second_follow_share"] * SCALE) if len(userids) > 1 else 0,
        groups_per_member=sizes["groups_per_member"],
        group_size=sizes["group_size"],
        spare_tag=tuple(list(world.tags)[:1]),
        index={userid: place for place, userid in enumerate(userids)},
    )
    world.bulk = bulk
    world.customers = Customers(world.customers, bulk, world.members)
    return made | {"customers": bulk.per_member * len(userids)}


def count(bulk: BulkCorp) -> Json:
    """What there is now: relations, customers with at least one, groups. Takes a second per million."""
    relations, seen = 0, 0
    last = -1
    for number, kind in bulk.numbers():
        if bulk.alterations and bulk.is_gone(number, kind):
            continue
        relations += 1
        if number != last:
            seen, last = seen + 1, number
    groups = sum(1 for _ in bulk.group_numbers())
    return {"relations": relations, "customers": seen, "stored": len(bulk.taken), "groups": groups}


def alter(world: World, what: str, share: float) -> Json:
    """Make a share of what is there different; answers exactly how much that was, and some of it."""
    bulk = of(world)
    if what == TAGS and not bulk.spare_tag:
        raise ControlError("the bulk corp has no tags", 409)
    listed = {GROUP_NAME: bulk.renamed_groups, GROUP_GONE: bulk.gone_groups}.get(what, bulk.alterations)
    salt = salt_of(bulk.seed, what, len(bulk.alterations), len(bulk.renamed_groups), len(bulk.gone_groups))
    item = Alteration(what, salt, int(share * SCALE))
    changed, sample = (_groups_hit if what in GROUP_CHANGES else _relations_hit)(bulk, item)
    listed.append(item)
    bulk.version += 1
    return {"changed": changed, "sample": sample}


def of(world: World) -> BulkCorp:
    """The computed corp; ControlError 409 when there is none."""
    if world.bulk is None:
        raise ControlError("make a bulk corp first", 409)
    return world.bulk


def some_follow(world: World, userid: str) -> Follow | None:
    """One of a member's computed customers, ordinary from now on; None when the member has none (left)."""
    bulk = world.bulk
    if bulk is None or userid not in bulk.index:
        return None
    number = bulk.index[userid] * STRIDE + world.rng.randrange(max(1, bulk.per_member))
    customer = world.customers.get(bulk.customer_id(number))
    return None if customer is None else customer.follow_of(userid)


def store_all(world: World, userid: str) -> None:
    """Make a member's computed customers ordinary ones, as a member who leaves needs it."""
    bulk = world.bulk
    if bulk is None or userid not in bulk.index:
        return
    index = bulk.index[userid]
    for own in (index, (index - 1) % len(bulk.userids)):
        for at in range(bulk.per_member):
            world.customers.get(bulk.customer_id(own * STRIDE + at))


def stored_group(world: World, chat_id: str) -> Group | None:
    """A group to act on: a computed one becomes an ordinary one, and so do its people."""
    found = world.groups.get(chat_id)
    if found is None and world.bulk is not None and (made := world.bulk.group(chat_id)) is not None:
        found = world.groups[chat_id] = made
        world.bulk.taken_groups.add(int(chat_id[18:], 16))
    return found


def _relations_hit(bulk: BulkCorp, item: Alteration) -> tuple[int, list[str]]:
    """A customer's own name is one thing, however many follow them; everything else counts per relation."""
    changed = 0
    sample: list[str] = []
    for number, kind in bulk.numbers():
        if not hits(number << 1 | kind, item.salt, item.threshold) or not _is_there(bulk, item, number, kind):
            continue
        changed += 1
        if len(sample) < SAMPLE:
            sample.append(bulk.customer_id(number))
    return changed, sample


def _is_there(bulk: BulkCorp, item: Alteration, number: int, kind: int) -> bool:
    if item.what == NAME:
        return kind == OWN and bool(bulk.relations(number))
    return not bulk.is_gone(number, kind)


def _groups_hit(bulk: BulkCorp, item: Alteration) -> tuple[int, list[str]]:
    found = [number for number in bulk.group_numbers() if hits(number, item.salt, item.threshold)]
    return len(found), [bulk.group_id(number) for number in found[:SAMPLE]]


def _tag_choices(rng: random.Random, tags: list[str], share: float) -> list[tuple[str, ...]]:
    marked = round(share * CHOICES) if tags else 0
    return [
        tuple(dict.fromkeys(rng.choice(tags) for _ in range(1 + rng.randrange(MOST_TAGS))))
        if place < marked
        else ()
        for place in range(CHOICES)
    ]


def _state_choices(states: int, share: float) -> list[str | None]:
    marked = round(share * CHOICES)
    return [f"channel_{place % states}" if states and place < marked else None for place in range(CHOICES)]
