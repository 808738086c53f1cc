"""Rules that read audiences hear of members who come and go, and look again when a condition changes."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from scrm.kernel.clock import shifted
from scrm.kernel.db import transaction
from scrm.kernel.settings import settings as read_settings
from tags.models import AssignmentState as S
from tags.models import RuleRun, RuleState, RuleVersion
from tags.rules import jobs
from tags.rules.service import rereading
from tags.rules.service.working import advance_run
from tests.scrm.audiences.conftest import call, named, within
from tests.tags.test_rules import backfill, evaluate, has, make_rule

ON, OFF = S.PENDING_ADD, S.REMOVED


def reads(session, rule):
    return session.scalars(select(RuleVersion.reads).where(RuleVersion.rule_id == rule.id)).one()


def runs(session, rule):
    """Runs of a rule, oldest first, as they stand."""
    found = select(RuleRun).where(RuleRun.rule_id == rule.id).order_by(RuleRun.id)
    return session.scalars(found.execution_options(populate_existing=True)).all()


def change(api, id_, condition, status=200, **more):
    return call(api, "patch", f"/audiences/{id_}", {"condition": condition, **more}, status)


def test_who_comes_onto_a_list_gets_the_tag_and_who_goes_loses_it(api, world, listing):
    follow, tag, id_ = world.followed(), world.tag(), listing("名单")
    make_rule(within(id_), tag)
    row = {"customers": [{"customer_id": follow.customer_id}]}
    call(api, "post", f"/audiences/{id_}/members:add", row)
    evaluate()
    assert world.states(follow) == {tag.id: ON}
    call(api, "post", f"/audiences/{id_}/members:remove", row)
    evaluate()
    assert world.states(follow) == {tag.id: OFF}


def test_a_filled_list_reaches_rules_through_an_audience_that_asks_for_it(api, world, tree, listing):
    follow, tag, id_ = world.followed(name="vip"), world.tag(), listing("名单")
    outer = tree("外", {"all": [within(id_), named("vip")]})
    rule = make_rule(within(outer), tag)
    call(api, "post", f"/audiences/{id_}/members:fill", {"condition": named("vip")})
    evaluate()
    assert world.states(follow) == {tag.id: ON}
    assert world.sources(follow, tag) == [f"rule:{rule.id}"]


def test_a_rule_reads_what_the_audience_reads(world, tree, session):
    inner = tree("内", {"kind": "follow", "added": {"last_days": 3}})
    rule = make_rule(within(tree("外", {"any": [named("vip"), within(inner)]})), world.tag())
    assert set(reads(session, rule)) >= {"customer.name", "follows", "time", f"audience:{inner}"}


def test_a_changed_condition_makes_active_rules_look_at_everybody_and_read_what_it_reads(
    api, world, tree, session
):
    was, becomes, tag = world.followed(name="a"), world.followed(corp_name="b"), world.tag()
    id_ = tree("人", named("a"))
    rule = make_rule(within(tree("外", within(id_))), tag)
    backfill(rule)
    assert world.states(was) == {tag.id: ON}
    change(api, id_, {"kind": "field", "field": "customer.corp_name", "op": "equals", "value": "b"})
    assert set(reads(session, rule)) >= {"customer.corp_name"}
    assert "customer.name" not in reads(session, rule)
    assert runs(session, rule)[-1].started_by.startswith("apikey:")
    jobs.backfill_rules.func()
    assert (world.states(was), world.states(becomes)) == ({tag.id: OFF}, {tag.id: ON})
    assert runs(session, rule)[-1].state == "done"


def test_drafts_and_the_same_condition_again_start_nothing(api, world, tree, session):
    id_ = tree("人", named("a"))
    draft = make_rule(within(id_), world.tag(), state=RuleState.DRAFT)
    active = make_rule(within(id_), world.tag())
    change(api, id_, named("a"))
    assert runs(session, active) == []
    change(api, id_, {"kind": "follow"})
    assert (len(runs(session, active)), len(runs(session, draft))) == (1, 0)
    assert "follows" in reads(session, draft)


def test_a_look_under_way_begins_again(api, world, tree, session):
    first, second, tag = world.followed(name="a"), world.followed(name="b"), world.tag()
    id_ = tree("人", named("a"))
    rule = make_rule(within(id_), tag)
    call(api, "post", f"/rules/{rule.id}/backfill", {}, 202)
    with transaction():
        advance_run(runs(session, rule)[0].id, limit=1)
    change(api, id_, named("b"))
    [run] = runs(session, rule)
    assert (run.cursor < 0, run.seen) == (True, 0)
    jobs.backfill_rules.func()
    assert (world.states(first), world.states(second)) == ({tag.id: OFF}, {tag.id: ON})


def test_rules_may_not_feed_each_other_through_an_audience(api, world, tree):
    one, two = world.tag(), world.tag()
    id_ = tree("人", {"all": [named("a"), has(one)]})
    ring = make_rule(within(id_), two)
    refused = call(api, "post", "/rules", {"name": "r", "condition": has(two), "add_tag_ids": [one.id]}, 422)
    assert "in a ring" in refused["fields"]["condition"]
    change(api, id_, named("a"))
    other = make_rule(has(two), one)
    fields = change(api, id_, {"all": [named("a"), {"any": [named("b"), has(one)]}]}, 422)["fields"]
    assert list(fields) == ["condition.all.1.any.1"]
    assert f"rule {ring.id} (r) → rule {other.id} (r) → rule {ring.id} (r)" in next(iter(fields.values()))
    assert call(api, "get", f"/audiences/{id_}")["version"] == 2, "the refused change left nothing"


@pytest.fixture
def guarded(monkeypatch):
    """A fifth of the base, and at least three customers."""
    limits = read_settings().rules.model_copy(update={"storm_min": 3, "storm_share": 0.2})
    told = read_settings().model_copy(update={"rules": limits})
    monkeypatch.setattr(rereading, "settings", lambda: told)


def test_a_change_through_which_rules_would_touch_the_base_asks_first(api, world, tree, session, guarded):
    for _ in range(10):
        world.followed(name="a")
    id_ = tree("人", named("x"))
    rule = make_rule(within(id_), world.tag())
    refused = change(api, id_, named("a"), 409)
    assert (refused["code"], refused["fields"]["customers"], refused["fields"]["base"]) == (
        "rule-storm",
        "10",
        "10",
    )
    assert call(api, "get", f"/audiences/{id_}")["words"]["en"] == "name is 「x」"
    assert runs(session, rule) == []
    other = {"any": [named("a"), named("b")]}
    assert change(api, id_, other, 409, confirm=refused["fields"]["confirm"])["code"] == "rule-storm"
    change(api, id_, named("a"), confirm=refused["fields"]["confirm"])
    assert len(runs(session, rule)) == 1


def test_a_list_that_rules_read_is_not_filled_with_the_base_unasked(api, world, listing, guarded):
    for _ in range(10):
        world.followed(name="a")
    id_, path = listing("名单"), "members:fill"
    fill = {"condition": named("a")}
    free = call(api, "post", f"/audiences/{listing('无人')}/{path}", fill)
    assert free["added"] == 10, "no rule reads that one"
    make_rule(within(id_), world.tag())
    refused = call(api, "post", f"/audiences/{id_}/{path}", fill, 409)
    assert (refused["code"], refused["fields"]["customers"]) == ("rule-storm", "10")
    assert call(api, "get", f"/audiences/{id_}/count")["count"] == 0
    confirm = {"confirm": refused["fields"]["confirm"]}
    assert call(api, "post", f"/audiences/{id_}/{path}", {**fill, **confirm})["added"] == 10


def test_what_only_the_clock_changes_inside_an_audience_is_swept(world, tree):
    follow, tag = world.followed(), world.tag()  # added yesterday
    rule = make_rule(within(tree("人", {"kind": "follow", "added": {"last_days": 3}})), tag)
    backfill(rule)
    assert world.states(follow) == {tag.id: ON}
    with shifted(timedelta(days=3)):
        jobs.sweep_time_rules.func()
        evaluate()
    assert world.states(follow) == {tag.id: OFF}


def test_a_limited_key_does_not_change_what_rules_read(api, api_with, world, tree, listing):
    ours = world.staff()
    follow, id_ = world.followed(staff=ours), listing("名单")
    inner, free = tree("内", within(id_)), listing("自由")
    make_rule(within(tree("外", within(inner))), world.tag())
    limited = api_with("*", staff_ids=[ours.id])
    row = {"customers": [{"customer_id": follow.customer_id}]}
    writes = [
        ("patch", f"/audiences/{inner}", {"condition": named("vip")}),
        ("patch", f"/audiences/{inner}", {"name": "another"}),
        *(("post", f"/audiences/{id_}/members:{how}", row) for how in ("add", "remove")),
        ("post", f"/audiences/{id_}/members:fill", {"condition": named("vip")}),
        ("post", f"/audiences/{id_}/archive", None),
        ("post", f"/audiences/{id_}/restore", None),
        ("delete", f"/audiences/{id_}", None),
    ]
    for method, path, body in writes:
        refused = call(limited, method, path, body, 403)
        assert "rules read this audience" in refused["detail"], path
    call(limited, "post", f"/audiences/{free}/members:add", row)
    call(limited, "post", f"/audiences/{free}/archive")
    call(api, "post", f"/audiences/{id_}/members:add", row)
