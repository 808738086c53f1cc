"""Copies of many onto a list go on in the background: one moment's customers, each once, with progress."""

import pytest
from sqlalchemy import func, select

from scrm.audiences.jobs import fill_lists
from scrm.audiences.models import AudienceFill, AudienceMember
from scrm.audiences.queries.fills import open_fills
from scrm.audiences.service import filling
from scrm.kernel.db import transaction
from scrm.kernel.settings import EXTENSION
from tests.scrm.audiences.conftest import call, members, named, within
from tests.tags.test_rules import evaluate, make_rule

A = named("a")


@pytest.fixture
def few(app, monkeypatch):
    """At once two customers at most, in the background two a part; keyword arguments are settings of ``rules``."""

    def give(**rules):
        told = app.extensions[EXTENSION]
        update = {
            "audiences": told.audiences.model_copy(update={"fill_at_once": 2}),
            "rules": told.rules.model_copy(update=rules),
        }
        monkeypatch.setitem(app.extensions, EXTENSION, told.model_copy(update=update))

    monkeypatch.setattr(filling, "PART", 2)
    give()
    return give


def begin(api, list_id, condition=A, status=202, **more):
    return call(api, "post", f"/audiences/{list_id}/members:fill", {"condition": condition, **more}, status)


def advance(fill):
    with transaction():
        return filling.advance_fill(fill["id"])


def look(api, fill):
    return call(api, "get", f"/audience-fills/{fill['id']}")


def five(world):
    return [world.followed(name="a").customer_id for _ in range(5)]


def test_few_are_put_on_the_list_at_once_and_many_in_the_background(api, world, listing, few):
    world.followed(name="b")
    ids, list_id = five(world), listing("名单")
    assert begin(api, list_id, named("b"), 200) == {"added": 1}
    fill = begin(api, list_id)["fill"]
    assert (fill["state"], fill["total"], fill["done"]) == ("filling", 5, 0)
    assert len(members(api, list_id)) == 1, "nobody was added while somebody waited"
    advance(fill)
    assert (look(api, fill)["done"], look(api, fill)["added"]) == (2, 2)
    fill_lists()
    done = look(api, fill)
    assert (done["state"], done["done"], done["added"], done["error"]) == ("done", 5, 5, None)
    assert done["finished_at"]
    assert members(api, list_id) >= set(ids)
    assert open_fills() == []


def test_a_fill_that_cannot_go_on_ends_and_holds_up_no_other(api, world, listing, few, session):
    ids, spoiled, list_id = five(world), listing("一"), listing("二")
    first, second = begin(api, spoiled)["fill"], begin(api, list_id)["fill"]
    session.get(AudienceFill, first["id"]).members = b"no bitmap"
    session.commit()
    fill_lists()
    assert (look(api, first)["state"], look(api, second)["state"]) == ("failed", "done")
    assert "ValueError" in look(api, first)["error"]
    assert members(api, list_id) == set(ids)
    assert open_fills() == []


def test_who_is_copied_is_decided_once(api, world, listing, few, session):
    ids, list_id = five(world), listing("名单")
    fill = begin(api, list_id)["fill"]
    advance(fill)
    world.followed(name="a")
    fill_lists()
    assert members(api, list_id) == set(ids)
    assert look(api, fill)["total"] == 5


def test_who_was_on_the_list_is_not_counted_and_history_has_one_line(api, world, listing, few):
    ids = five(world)
    list_id = listing("名单")
    call(api, "post", f"/audiences/{list_id}/members:add", {"customers": [{"customer_id": ids[0]}]})
    fill = begin(api, list_id)["fill"]
    fill_lists()
    assert (look(api, fill)["done"], look(api, fill)["added"]) == (5, 4)
    told = [each["changes"] for each in call(api, "get", f"/audiences/{list_id}/history")["items"]]
    assert told[:2] == [{"members": {"added": 4, "removed": 0}}, {"members": {"added": 1, "removed": 0}}]


def test_a_fill_that_is_cancelled_stops_and_keeps_who_came(api, world, listing, few):
    five(world)
    list_id = listing("名单")
    fill = begin(api, list_id)["fill"]
    advance(fill)
    assert call(api, "post", f"/audience-fills/{fill['id']}/cancel")["state"] == "cancelled"
    fill_lists()
    assert len(members(api, list_id)) == 2
    call(api, "post", f"/audience-fills/{fill['id']}/cancel", status=409)


def test_a_list_that_is_archived_meanwhile_ends_its_fill(api, world, listing, few):
    five(world)
    list_id = listing("名单")
    fill = begin(api, list_id)["fill"]
    call(api, "post", f"/audiences/{list_id}/archive")
    fill_lists()
    ended = look(api, fill)
    assert (ended["state"], ended["added"]) == ("failed", 0)
    assert "archived" in ended["error"]


def test_rules_hear_of_everybody_who_came_in_any_part(api, world, listing, few):
    five(world)
    list_id, tag = listing("名单"), world.tag()
    make_rule(within(list_id), tag)
    begin(api, list_id)
    fill_lists()
    evaluate()
    tagged = call(api, "post", "/audiences/preview", {"condition": {"kind": "has_tag", "tag_ids": [tag.id]}})
    assert tagged["count"] == 5


def test_a_storm_is_refused_before_anything_is_begun(api, world, listing, few):
    five(world)
    list_id = listing("名单")
    make_rule(within(list_id), world.tag())
    few(storm_min=3, storm_share=0.2)
    refused = begin(api, list_id, status=409)
    assert (refused["code"], refused["fields"]["customers"]) == ("rule-storm", "5")
    assert call(api, "get", f"/audiences/{list_id}/fills")["items"] == []
    begin(api, list_id, confirm=refused["fields"]["confirm"])
    fill_lists()
    assert len(members(api, list_id)) == 5


def test_what_is_slow_to_work_out_is_worked_out_in_the_background(api, world, listing, few):
    ids, list_id = five(world), listing("名单")
    without = [{"not": {"kind": "has_tag", "tag_ids": [world.tag().id]}} for _ in range(40)]
    few(preview_seconds=0.001)
    fill = begin(api, list_id, {"all": [A, *without]})["fill"]
    assert (fill["state"], fill["total"]) == ("queued", None)
    fill_lists()
    few()
    assert (look(api, fill)["state"], look(api, fill)["added"]) == ("done", 5)
    assert members(api, list_id) == set(ids)


def test_limited_keys_see_their_own_fills_only(api, api_with, world, listing, few):
    ours = world.staff()
    list_id = listing("名单")
    mine = [world.followed(name="a", staff=ours).customer_id for _ in range(3)]
    five(world)
    limited = api_with("*", staff_ids=[ours.id])
    everybodys, own = begin(api, list_id)["fill"], begin(limited, list_id)["fill"]
    call(limited, "get", f"/audience-fills/{everybodys['id']}", status=404)
    call(limited, "post", f"/audience-fills/{everybodys['id']}/cancel", status=404)
    shown = call(limited, "get", f"/audiences/{list_id}/fills")["items"]
    assert [(each["id"], each["total"]) for each in shown] == [(own["id"], 3)]
    call(api, "post", f"/audience-fills/{everybodys['id']}/cancel")
    fill_lists()
    assert members(api, list_id) == set(mine)


def test_the_same_fill_asked_for_twice_with_a_key_is_begun_once(api, world, listing, few, session):
    five(world)
    list_id = listing("名单")
    body = {"condition": A}
    path = f"/audiences/{list_id}/members:fill"
    first, again = (call(api, "post", path, body, 202, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first["fill"]["id"] == again["fill"]["id"]
    assert len(call(api, "get", f"/audiences/{list_id}/fills")["items"]) == 1
    fill_lists()
    assert session.scalar(select(func.count()).select_from(AudienceMember)) == 5
