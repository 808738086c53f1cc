"""The numbers of a preview are those of the backfill that follows."""

import pytest
from sqlalchemy import select

from scrm.customers.models import Customer, Follow
from scrm.kernel.clock import utcnow
from tags.models import Push, Tag, TagAssignment, TagGroup
from tests.tags.conftest import add
from tests.tags.test_api import send
from tests.tags.test_rules import VIP, backfill, make_rule

REACHABLE = ("active", "deleted_by_customer")  # where WeCom knows a relation
NAMED = {"kind": "field", "field": "customer.name", "op": "any_of", "values": ["vip", "svip"]}


def held(session):
    """(customer, relation, member, status, tag, whether WeCom is told) of every tag that is there now."""
    a = TagAssignment
    statement = (
        select(a.customer_id, a.follow_id, Follow.staff_id, Follow.status, a.tag_id, TagGroup.push)
        .join(Follow, Follow.id == a.follow_id)
        .join(Tag, Tag.id == a.tag_id)
        .join(TagGroup, TagGroup.id == Tag.group_id)
        .where(a.state.in_(["active", "pending_add"]))
    )
    return set(session.execute(statement))


def counted(before, after):
    """What came and went, as a preview tells it."""
    changes = before ^ after
    told = {each.follow_id for each in changes if each.push == Push.WECOM and each.status in REACHABLE}
    return {
        "customers": len({each.customer_id for each in changes}),
        "would_add": len(after - before),
        "would_remove": len(before - after),
        "staff": len({each.staff_id for each in changes}),
        "wecom_calls": len(told),
    }


@pytest.fixture
def lived(api, world, session):
    """A rule that worked, and what came after it: people, another rule, ended relations, other names."""
    gold, silver, bronze, local = (world.tag(name) for name in ("gold", "silver", "bronze", "local"))
    local.group_id = add(TagGroup(name="kept here", push=Push.LOCAL)).id
    anna, bert, carl = world.staff(), world.staff(), world.staff()
    vips = [world.followed(anna, name="vip") for _ in range(9)]
    for follow in vips[:5]:
        world.follow(session.get(Customer, follow.customer_id), bert)
    rule = make_rule(VIP, gold, bronze, local)
    backfill(rule)
    backfill(make_rule({"kind": "follow", "staff_ids": [bert.id]}, gold))
    for n, change in enumerate(({"add": [gold.id]}, {"remove": [gold.id]}, {"add": [silver.id]})):
        send(api, "post", f"/customers/{vips[n].customer_id}/tags", change)
    for n, name in ((0, "x"), (1, "x"), (3, "svip"), (5, "x")):
        session.get(Customer, vips[n].customer_id).name = name
    vips[6].deleted_by_staff_at = vips[7].deleted_by_customer_at = utcnow()
    new = [world.followed(carl, name="svip") for _ in range(3)]
    new[0].deleted_by_customer_at, new[1].half_added_at = utcnow(), utcnow()
    session.flush()
    session.expire_all()
    return rule, gold, silver, bronze, local


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("condition", [VIP, NAMED])
def test_a_backfill_changes_what_the_preview_of_a_changed_rule_said(api, lived, session, condition, keep):
    rule, gold, silver, bronze, local = lived
    changed = {
        "condition": condition,
        "add_tag_ids": [gold.id, silver.id, local.id],
        "remove_tag_ids": [bronze.id],
        "keep": keep,
    }
    told = send(api, "post", "/rules/preview", {**changed, "rule_id": rule.id})
    before = held(session)
    send(api, "patch", f"/rules/{rule.id}", changed)
    backfill(rule)
    expected = counted(before, held(session))
    assert {key: told[key] for key in expected} == expected
    assert min(expected["would_add"], expected["would_remove"]) > 0


def test_a_backfill_changes_what_the_preview_of_a_new_rule_said(api, lived, session):
    _, gold, silver, _, local = lived
    tags = [gold, silver, local]
    told = send(api, "post", "/rules/preview", {"condition": NAMED, "add_tag_ids": [tag.id for tag in tags]})
    before = held(session)
    backfill(make_rule(NAMED, *tags))
    expected = counted(before, held(session))
    assert {key: told[key] for key in expected} == expected
    assert expected["wecom_calls"] < expected["would_add"]
