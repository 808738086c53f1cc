"""Tags and rules through the API: what is taken, shown and refused."""

import pytest
from sqlalchemy import select
from sqlalchemy.event import listen

from scrm.customers.models import Customer
from scrm.kernel.db import session, transaction
from tags.catalog.service.settling import settle_catalog
from tags.models import Tag, TagGroup
from tags.rules import jobs
from tests.tags.conftest import end

VIP = {"kind": "field_equals", "field": "customer.name", "value": "vip"}
V1 = "/api/v1"


def send(api, method, path, body=None, status=200, **headers):
    answer = getattr(api, method)(V1 + path, json=body, headers=headers)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_json(silent=True)


def problem(api, method, path, body):
    """(field, what is wrong) of a 422."""
    fields = send(api, method, path, body, 422)["fields"]
    assert len(fields) == 1
    return next(iter(fields.items()))


def settle(effect, state="confirmed", errcode=None, error=None, result=None):
    effect.result = result
    with transaction():
        settle_catalog([end(effect, state, errcode, error)])


@pytest.fixture
def group(api, world):
    return send(
        api,
        "post",
        "/tag-groups",
        {"name": "等级", "order": 5, "tags": [{"name": "金"}, {"name": "银"}]},
        201,
    )


def accept(world, group):
    tags = [{"id": f"et{tag['name']}", "name": tag["name"]} for tag in group["tags"]]
    settle(world.effects("add_tag")[-1], result={"tag_group": {"group_id": "etG", "tag": tags}})


def test_a_new_group_is_pending_until_wecom_accepts(api, world, group):
    assert group["state"] == "pending"
    assert world.effects("add_tag")[0].payload == {
        "group_name": "等级", "order": 5, "tag": [{"name": "金", "order": 0}, {"name": "银", "order": 0}],
    }  # fmt: skip
    accept(world, group)
    shown = send(api, "get", f"/tag-groups/{group['id']}")
    assert (shown["state"], shown["wecom_id"]) == ("active", "etG")
    assert [tag["wecom_id"] for tag in shown["tags"]] == ["et金", "et银"]


def test_a_refused_group_keeps_the_reason_and_can_be_tried_again(api, world, group):
    settle(world.effects("add_tag")[0], "failed", 40071, "name exists")
    shown = send(api, "get", f"/tag-groups/{group['id']}")
    assert (shown["state"], shown["failed"]) == ("failed", "40071: name exists")
    send(api, "patch", f"/tag-groups/{group['id']}", {"name": "等级2"})
    again = world.effects("add_tag")[1].payload
    assert again["group_name"] == "等级2"
    assert len(again["tag"]) == 2


def test_a_change_is_shown_as_pending_beside_what_wecom_has(api, world, group):
    accept(world, group)
    tag = group["tags"][0]
    changed = send(api, "patch", f"/tags/{tag['id']}", {"name": "白金", "order": 7})
    assert (changed["name"], changed["pending"], changed["state"]) == (
        "金",
        {"name": "白金", "order": 7},
        "pending",
    )
    send(api, "patch", f"/tags/{tag['id']}", {"name": "x"}, 409)
    edit = world.effects("edit_tag")[0]
    assert edit.payload == {"id": "et金", "name": "白金", "order": 7}
    settle(edit)
    assert send(api, "get", f"/tags/{tag['id']}")["name"] == "白金"


def test_a_refused_change_leaves_the_old_name_and_says_why(api, world, group):
    accept(world, group)
    tag = group["tags"][0]
    send(api, "patch", f"/tags/{tag['id']}", {"name": "白金"})
    settle(world.effects("edit_tag")[0], "failed", 81011, "no permission")
    shown = send(api, "get", f"/tags/{tag['id']}")
    assert (shown["name"], shown["pending"], shown["failed"]) == ("金", None, "81011: no permission")


def test_the_group_dies_with_its_last_tag(api, world, group):
    accept(world, group)
    for tag in group["tags"]:
        send(api, "delete", f"/tags/{tag['id']}", status=202)
        settle(world.effects("delete_tag")[-1])
    send(api, "get", f"/tag-groups/{group['id']}", status=404)
    assert send(api, "get", f"/tags?group_id={group['id']}")["items"] == []


def test_deleting_a_group_deletes_its_tags_once_wecom_agreed(api, world, group):
    accept(world, group)
    send(api, "delete", f"/tag-groups/{group['id']}", status=202)
    assert send(api, "get", f"/tag-groups/{group['id']}")["pending"] == {"deleted": True}
    settle(world.effects("delete_tag")[0])
    send(api, "get", f"/tag-groups/{group['id']}", status=404)
    send(api, "get", f"/tags/{group['tags'][0]['id']}", status=404)


@pytest.mark.parametrize(
    ("body", "field", "limit"),
    [
        ({"name": "x" * 31, "tags": [{"name": "a"}]}, "name", "30"),
        ({"name": "", "tags": [{"name": "a"}]}, "name", "30"),
        ({"name": "g", "tags": []}, "tags", "3000"),
        ({"name": "g", "tags": [{"name": "x" * 31}]}, "tags.0.name", "30"),
        ({"name": "g", "tags": [{"name": "a", "order": 2**32}]}, "tags.0.order", "4294967295"),
        ({"name": "g", "order": -1, "tags": [{"name": "a"}]}, "order", "4294967295"),
        ({"name": "g", "tags": [{"name": "a"}, {"name": "a"}]}, "tags.1.name", "unique"),
        ({"name": "等级", "tags": [{"name": "a"}]}, "name", "unique"),
        ({"name": "g", "tags": [{"name": "a"}], "colour": "red"}, "colour", "Unknown"),
    ],
)
def test_what_wecom_would_refuse_is_refused_before_any_call(api, world, group, body, field, limit):
    before = len(world.effects("add_tag"))
    where, what = problem(api, "post", "/tag-groups", body)
    assert where == field
    assert limit in what
    assert len(world.effects("add_tag")) == before


def test_there_are_at_most_3000_tags(api, world, session):
    session.add_all([Tag(group_id=world.group.id, name=f"n{i}", wecom_id=f"n{i}") for i in range(2999)])
    session.flush()
    body = {"name": "g", "tags": [{"name": "a"}, {"name": "b"}]}
    assert problem(api, "post", "/tag-groups", body) == (
        "tags",
        "there are 2999 tags; WeCom allows 3000 in all. A group with push: local is kept here alone and does not count",
    )
    send(api, "post", "/tag-groups", {**body, "tags": [{"name": "a"}]}, 201)


def test_a_tag_of_a_rule_cannot_be_deleted_under_it(api, world):
    tag = world.tag()
    rule = send(api, "post", "/rules", {"name": "r", "condition": VIP, "add_tag_ids": [tag.id]}, 201)
    answer = send(api, "delete", f"/tags/{tag.id}", status=409)
    assert f"rule {rule['id']}" in answer["detail"]


def test_a_tag_that_a_condition_asks_for_is_not_deleted_under_it(api, world):
    asked, free = world.tag(), world.tag()
    leaf = {"kind": "has_tag", "tag_ids": [asked.id], "match": "none"}
    group = {"kind": "has_tag", "tag_group_ids": [world.group.id]}
    share = {"condition": leaf, "members": [{"staff_id": world.staff().id}]}
    plan = {
        "kind": "on_job",
        "from_staff_id": world.staff().id,
        "what": "customers",
        "rule": {"shares": [share]},
    }
    message = {"name": "m", "kind": "customers", "text": "hi", "audience": {"condition": {"not": leaf}}}
    made = [
        send(api, "post", path, body, 201)["id"]
        for path, body in (
            ("/audiences", {"name": "a", "condition": {"all": [leaf]}}),
            ("/audiences", {"name": "g", "condition": group}),
            ("/transfers/plans", plan),
            ("/broadcasts", message),
        )
    ]
    said = send(api, "delete", f"/tags/{asked.id}", status=409)["detail"]
    assert (
        f"used by audience {made[0]} (a), transfer_plan {made[2]} (#{made[2]}), broadcast {made[3]} (m)"
        in said
    )
    assert (
        f"audience {made[1]} (g)"
        in send(api, "delete", f"/tag-groups/{world.group.id}", status=409)["detail"]
    )
    send(api, "delete", f"/tags/{free.id}", status=202)
    assert "there is no tag 987654" in send(api, "delete", "/tags/987654", status=404)["detail"]


def test_the_same_idempotency_key_makes_one_group(api, world, session):
    body = {"name": "g", "tags": [{"name": "a"}]}
    first, again = (send(api, "post", "/tag-groups", body, 201, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first == again
    assert len(session.scalars(select(TagGroup).where(TagGroup.name == "g")).all()) == 1


def test_tagging_by_hand_says_why_and_taking_away_overrules(api, world):
    follow, tag = world.followed(), world.tag("金")
    path = f"/customers/{follow.customer_id}/tags"
    shown = send(api, "post", path, {"add": [tag.id]})
    row = shown["tags"][0]
    assert (row["tag"], row["state"], row["staff_id"]) == ("金", "pending_add", follow.staff_id)
    assert [s["source"].partition(":")[0] for s in row["sources"]] == ["manual"]
    assert shown["history"][0]["change"] == "added"
    portrait = send(api, "get", f"/customers/{follow.customer_id}")
    assert [(t["tag"], t["state"]) for t in portrait["tags"]] == [("金", "pending_add")]
    assert portrait["timeline"]["items"][0]["kind"] == "tag.added"
    shown = send(api, "post", path, {"remove": [tag.id]})
    assert shown["tags"] == []
    assert [line["change"] for line in shown["history"]] == ["removed", "added"]


def test_tagging_refuses_what_does_not_exist(api, world):
    follow, tag, stranger = world.followed(), world.tag(), world.staff()
    path = f"/customers/{follow.customer_id}/tags"
    assert problem(api, "post", path, {"add": [tag.id, 98765]}) == ("add.1", "there is no tag 98765")
    assert problem(api, "post", path, {"add": [tag.id], "staff_id": stranger.id})[0] == "staff_id"
    assert problem(api, "post", path, {"add": [tag.id], "remove": [tag.id]})[0] == "remove"
    send(api, "post", "/customers/98765/tags", {"add": [tag.id]}, 404)


def test_tags_of_others_customers_are_not_seen(api_with, world):
    follow, tag = world.followed(), world.tag()
    other = api_with(staff_ids=[world.staff().id])
    own = api_with(staff_ids=[follow.staff_id])
    path = f"/customers/{follow.customer_id}/tags"
    send(other, "get", path, status=404)
    send(other, "post", path, {"add": [tag.id]}, 404)
    assert len(send(own, "post", path, {"add": [tag.id]})["tags"]) == 1


def test_a_rule_has_versions_and_refuses_what_overtook_it(api, world):
    tag = world.tag()
    rule = send(api, "post", "/rules", {"name": "r", "condition": VIP, "add_tag_ids": [tag.id]}, 201)
    assert (rule["state"], rule["version"]) == ("draft", 1)
    assert rule["words"]["zh"] == "昵称等于「vip」"
    path = f"/rules/{rule['id']}"
    assert send(api, "patch", path, {"state": "active"}, **{"If-Match": '"1"'})["version"] == 1
    changed = {**VIP, "value": "vip2"}
    assert send(api, "patch", path, {"condition": changed}, **{"If-Match": "1"})["version"] == 2
    assert "version 2" in send(api, "patch", path, {"keep": True}, 409, **{"If-Match": "1"})["detail"]
    assert [v["version"] for v in send(api, "get", f"{path}/versions")["items"]] == [2, 1]
    send(api, "delete", path, status=204)
    send(api, "get", path, status=404)


def test_bad_rules_are_refused_with_the_path_inside_the_tree(api, world):
    tag = world.tag()
    good = {"name": "r", "condition": VIP, "add_tag_ids": [tag.id]}
    said = {"kind": "said_keyword", "keywords": ["x"], "within_days": 0}
    bad = {**good, "condition": {"all": [VIP, said]}}
    assert problem(api, "post", "/rules", bad)[0] == "condition.all.1.within_days"
    assert problem(api, "post", "/rules", {**good, "add_tag_ids": [98765]})[0] == "add_tag_ids.0"
    assert problem(api, "post", "/rules", {**good, "remove_tag_ids": [tag.id]})[0] == "remove_tag_ids"
    assert problem(api, "post", "/rules", {**good, "add_tag_ids": []})[0] == "add_tag_ids"
    assert problem(api, "post", "/rules/preview", {"condition": {"kind": "x"}})[0] == "condition.kind"
    assert send(api, "get", "/rules")["items"] == []


def test_a_rule_that_does_nothing_is_refused_when_made_and_when_changed(api, world):
    text = {"name": "r", "condition": VIP}
    assert problem(api, "post", "/rules", text)[0] == "add_tag_ids"
    made = send(api, "post", "/rules", {**text, "add_tag_ids": [world.tag().id]}, 201)
    told = problem(api, "patch", f"/rules/{made['id']}", {"add_tag_ids": []})
    assert told == ("add_tag_ids", "give at least one tag to add or to remove")
    assert send(api, "get", f"/rules/{made['id']}")["version"] == 1


def test_rules_that_feed_each_other_in_a_ring_are_named(api, world):
    one, two, three = world.tag(), world.tag(), world.tag()

    def rule(name, reads, adds, status=201, **more):
        condition = {"kind": "has_tag", "tag_ids": [reads.id]}
        return send(
            api,
            "post",
            "/rules",
            {"name": name, "condition": condition, "add_tag_ids": [adds.id], **more},
            status,
        )

    first, second = rule("A", one, two), rule("B", two, three)
    answer = rule("C", three, one, 422)
    assert f"rule {first['id']} (A) → rule {second['id']} (B)" in answer["fields"]["condition"]
    assert "ring" in rule("self", one, one, 422)["detail"]
    rule("self that keeps", one, one, 201, keep=True)
    back = {"condition": {"kind": "has_tag", "tag_ids": [three.id]}}
    assert (
        "ring"
        in send(api, "patch", f"/rules/{first['id']}", {**back, "add_tag_ids": [two.id]}, 422)["detail"]
    )


def test_preview_counts_without_changing_anything(api, world, session):
    tag = world.tag()
    vips = [world.followed(name="vip") for _ in range(3)]
    world.followed(name="x")
    send(api, "post", f"/customers/{vips[0].customer_id}/tags", {"add": [tag.id]})
    told = send(api, "post", "/rules/preview", {"condition": VIP, "add_tag_ids": [tag.id], "sample": 2})
    assert told["count"] == 3
    assert told["sample"] == [vips[2].customer_id, vips[1].customer_id]
    assert (told["would_add"], told["would_remove"]) == (2, 0), "one has the tag already"
    assert world.states(vips[1]) == {}


def test_preview_of_a_changed_rule_says_what_would_go(api, world):
    tag = world.tag()
    world.followed(name="vip")
    rule = send(
        api,
        "post",
        "/rules",
        {"name": "r", "state": "active", "condition": VIP, "add_tag_ids": [tag.id]},
        201,
    )
    send(api, "post", f"/rules/{rule['id']}/backfill", status=202)
    jobs.backfill_rules.func()
    other = {**VIP, "value": "other"}
    told = send(
        api, "post", "/rules/preview", {"condition": other, "add_tag_ids": [tag.id], "rule_id": rule["id"]}
    )
    assert (told["count"], told["would_add"], told["would_remove"]) == (0, 0, 1)


def test_preview_and_explanation_stay_inside_the_data_scope(api_with, api, world):
    mine, other = world.followed(name="vip"), world.followed(name="vip")
    tag = world.tag()
    rule = send(api, "post", "/rules", {"name": "r", "condition": VIP, "add_tag_ids": [tag.id]}, 201)
    own = api_with(staff_ids=[mine.staff_id])
    told = send(own, "post", "/rules/preview", {"condition": VIP, "add_tag_ids": [tag.id]})
    assert (told["count"], told["sample"], told["would_add"]) == (1, [mine.customer_id], 1)
    path = f"/rules/{rule['id']}/explain"
    assert send(own, "post", path, {"customer_id": mine.customer_id})["holds"] is True
    send(own, "post", path, {"customer_id": other.customer_id}, 404)


def test_a_key_with_a_data_scope_sets_no_rule_and_learns_no_numbers_of_others(api_with, api, world):
    follow, other, tag = world.followed(name="vip"), world.followed(name="vip"), world.tag()
    own = api_with("*", staff_ids=[follow.staff_id])
    text = {"name": "r", "condition": VIP, "add_tag_ids": [tag.id]}
    rule = send(api, "post", "/rules", {**text, "state": "active"}, 201)
    run = send(api, "post", f"/rules/{rule['id']}/backfill", {}, 202)
    path = f"/rules/{rule['id']}"
    send(own, "post", "/rules", text, 403)
    send(own, "patch", path, {"state": "paused"}, 403)
    send(own, "delete", path, status=403)
    send(own, "post", f"{path}/versions/1/activate", {}, 403)
    send(own, "post", f"{path}/backfill", {}, 403)
    send(own, "get", f"{path}/runs", status=403)
    send(own, "get", f"{path}/runs/{run['id']}", status=403)
    for step in ("undo", "pause", "resume", "cancel"):
        send(own, "post", f"{path}/runs/{run['id']}/{step}", {}, 403)
    for given in (follow, other):
        send(api, "post", f"/customers/{given.customer_id}/tags", {"add": [tag.id]})
    assert send(own, "get", f"/tags/{tag.id}")["customers"] == 1
    assert send(api, "get", f"/tags/{tag.id}")["customers"] == 2


def test_explain_says_which_part_does_not_hold(api, world):
    follow, tag = world.followed(name="vip"), world.tag("金")
    condition = {"all": [VIP, {"kind": "has_tag", "tag_ids": [tag.id]}]}
    rule = send(
        api, "post", "/rules", {"name": "r", "condition": condition, "add_tag_ids": [world.tag().id]}, 201
    )
    told = send(
        api, "post", f"/rules/{rule['id']}/explain", {"customer_id": follow.customer_id, "language": "en"}
    )
    assert told["holds"] is False
    parts = [(part["words"], part["holds"]) for part in told["condition"]["all"]]
    assert parts == [("name is 「vip」", True), ("has any of the tags 金", False)]


def test_a_backfill_is_followed_and_undone_through_the_api(api, world, session):
    follow, tag = world.followed(name="vip"), world.tag()
    rule = send(api, "post", "/rules", {"name": "r", "condition": VIP, "add_tag_ids": [tag.id]}, 201)
    path = f"/rules/{rule['id']}"
    assert "make it active" in send(api, "post", f"{path}/backfill", status=409)["detail"]
    send(api, "patch", path, {"state": "active"})
    run = send(api, "post", f"{path}/backfill", status=202)
    total = session.query(Customer).count()
    assert (run["state"], run["left"]) == ("queued", total)
    assert "not finished" in send(api, "post", f"{path}/backfill", status=409)["detail"]
    jobs.backfill_rules.func()
    run = send(api, "get", f"{path}/runs/{run['id']}")
    assert (run["state"], run["seen"], run["added"]) == ("done", total, 1)
    assert [one["id"] for one in send(api, "get", f"{path}/runs")["items"]] == [run["id"]]
    assert send(api, "get", "/rules/999999/runs", status=404)["code"] == "not-found"
    assert send(api, "post", f"{path}/runs/{run['id']}/undo", status=202)["state"] == "undoing"
    jobs.backfill_rules.func()
    assert send(api, "get", f"{path}/runs/{run['id']}")["state"] == "undone"
    assert send(api, "get", path)["state"] == "paused"
    assert set(world.states(follow).values()) == {"removed"}
    send(api, "post", f"{path}/runs/{run['id']}/undo", status=409)


def test_the_condition_schema_is_served(api):
    assert "has_tag" in send(api, "get", "/rules/condition-schema")["$defs"]


def test_a_page_of_rules_and_audiences_asks_no_more_for_more_of_them(api, world):
    """What their conditions name is looked up for the whole page."""
    asked = []

    def make(count):
        for _ in range(count):
            tree = {"all": [{"kind": "has_tag", "tag_ids": [world.tag().id]}, {"kind": "follow"}]}
            send(
                api, "post", "/rules", {"name": "r", "condition": tree, "add_tag_ids": [world.tag().id]}, 201
            )
            body = {"kind": "tree", "name": f"a{world.tag().id}", "condition": tree}
            send(api, "post", "/audiences", body, 201)

    def statements(path):
        asked.clear()
        answer = send(api, "get", path)
        return len(asked), answer

    listen(session().connection(), "before_cursor_execute", lambda *args: asked.append(args[2]))
    make(1)
    few = [statements(path)[0] for path in ("/rules", "/audiences")]
    make(5)
    for path, before in zip(("/rules", "/audiences"), few, strict=True):
        number, answer = statements(path)
        assert (number, len(answer["items"])) == (before, 6)
        assert all(
            "标签" in each["words"]["zh"] and "#" not in each["words"]["zh"] for each in answer["items"]
        )
