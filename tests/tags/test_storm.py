"""Storm guard: what would touch many customers is confirmed by somebody who saw the numbers."""

import pytest

from tags.rules import jobs
from tests.tags.conftest import throng
from tests.tags.test_api import send
from tests.tags.test_rules import backfill, make_rule

ANYBODY = {"not": {"kind": "field", "field": "customer.name", "op": "equals", "value": "nobody"}}
VIP = {"kind": "field", "field": "customer.name", "op": "equals", "value": "vip"}


@pytest.fixture
def guarded(rule_limits):
    """A fifth of the base, and at least three customers."""
    rule_limits(storm_min=3, storm_share=0.2)


@pytest.fixture
def crowd(world, guarded):
    return [world.followed(name="vip" if i < 3 else "x") for i in range(10)]


def rule(tag, condition=ANYBODY, **more):
    return {"name": "r", "condition": condition, "add_tag_ids": [tag.id], **more}


def test_an_activation_that_would_touch_the_base_asks_with_the_numbers(api, world, crowd):
    tag = world.tag()
    refused = send(api, "post", "/rules", rule(tag, state="active"), 409)
    assert refused["code"] == "rule-storm"
    told = refused["fields"]
    assert (told["customers"], told["base"], told["added"], told["wecom_calls"]) == ("10", "10", "10", "10")
    assert send(api, "get", "/rules")["items"] == [], "nothing was made"
    made = send(api, "post", "/rules", rule(tag, state="active", confirm=told["confirm"]), 201)
    assert made["state"] == "active"


def test_a_draft_is_free_and_making_it_active_or_running_it_asks(api, world, crowd):
    made = send(api, "post", "/rules", rule(world.tag()), 201)
    path = f"/rules/{made['id']}"
    token = send(api, "patch", path, {"state": "active"}, 409)["fields"]["confirm"]
    send(api, "patch", path, {"state": "active", "confirm": token})
    assert send(api, "post", f"{path}/backfill", {}, 409)["code"] == "rule-storm"
    send(api, "post", f"{path}/backfill", {"confirm": token}, 202)


def test_another_text_needs_another_yes(api, world, crowd):
    made = send(api, "post", "/rules", rule(world.tag()), 201)
    path = f"/rules/{made['id']}"
    token = send(api, "patch", path, {"state": "active"}, 409)["fields"]["confirm"]
    send(api, "patch", path, {"state": "active", "confirm": token})
    other = {"condition": {"not": VIP}}
    refused = send(api, "patch", path, {**other, "confirm": token}, 409)
    assert refused["fields"]["confirm"] != token
    assert refused["fields"]["customers"] == "7"


def test_another_priority_that_turns_many_tags_round_asks_too(api, world, rule_limits):
    for i in range(10):
        world.followed(name="vip" if i < 3 else "x")
    world.group.exclusive = True
    gold, silver = world.tag("gold"), world.tag("silver")
    backfill(make_rule(ANYBODY, gold, priority=5))
    backfill(weaker := make_rule({"not": VIP}, silver, priority=1))
    rule_limits(storm_min=3, storm_share=0.2)
    path = f"/rules/{weaker.id}"
    send(api, "patch", path, {"priority": 4})
    refused = send(api, "patch", path, {"priority": 6}, 409)
    assert refused["code"] == "rule-storm"
    told = refused["fields"]
    assert (told["customers"], told["added"], told["removed"], told["wecom_calls"]) == ("7", "7", "7", "7")
    assert send(api, "get", path)["priority"] == 4
    assert send(api, "patch", path, {"priority": 6, "confirm": told["confirm"]})["priority"] == 6


def test_few_customers_or_a_small_share_pass_without_asking(api, world, crowd):
    for _ in range(6):
        world.followed(name="y")
    send(api, "post", "/rules", rule(world.tag(), VIP, state="active"), 201)  # 3 of 16


def test_what_is_done_already_does_not_count(api, world, crowd):
    body = rule(world.tag(), state="active")
    token = send(api, "post", "/rules", body, 409)["fields"]["confirm"]
    path = f"/rules/{send(api, 'post', '/rules', {**body, 'confirm': token}, 201)['id']}"
    send(api, "post", f"{path}/backfill", {"confirm": token}, 202)
    jobs.backfill_rules.func()
    assert send(api, "post", f"{path}/backfill", {}, 202)["state"] == "queued", "nobody has to say yes again"


def test_a_count_that_takes_too_long_asks_as_well(api, world, crowd, rule_limits):
    throng(3_000)
    rule_limits(preview_seconds=0.001)
    body = rule(world.tag(), state="active")
    refused = send(api, "post", "/rules", body, 409)
    assert "could not be counted" in refused["detail"]
    assert send(api, "get", "/rules")["items"] == [], "the connection goes on"
    send(api, "post", "/rules", {**body, "confirm": refused["fields"]["confirm"]}, 201)


def test_what_is_wrong_is_said_before_numbers_are_confirmed(api, world, crowd):
    world.group.exclusive = True
    gold, silver = world.tag("gold"), world.tag("silver")
    nobody = {"kind": "field", "field": "customer.name", "op": "equals", "value": "nobody"}
    send(api, "post", "/rules", rule(gold, nobody, state="active"), 201)
    rival = rule(silver, state="active")
    assert "priority" in send(api, "post", "/rules", rival, 422)["fields"]
    draft = send(api, "post", "/rules", rule(silver), 201)
    path = f"/rules/{draft['id']}"
    assert "priority" in send(api, "patch", path, {"state": "active"}, 422)["fields"]
    assert send(api, "get", path)["state"] == "draft"
    feeds = {"condition": {"kind": "has_tag", "tag_ids": [silver.id]}, "priority": 1}
    assert "ring" in send(api, "patch", path, {**feeds, "state": "active"}, 422)["fields"]["condition"]
    assert send(api, "patch", path, {"state": "active", "priority": 1}, 409)["code"] == "rule-storm"
    assert send(api, "get", path)["version"] == 1, "the trial is taken back"
