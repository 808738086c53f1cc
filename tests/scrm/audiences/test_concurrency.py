"""Saved at the same moment: no ring comes about, and no rule is left with what an audience said before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from sqlalchemy import select

from scrm.audiences.models import AudienceMember
from scrm.kernel.db import transaction
from tags.models import RuleVersion
from tests.scrm.audiences.conftest import V1, named, within
from tests.tags.conftest import make_world


def together(api, *requests):
    """Statuses of (method, path, body) sent at the same moment, each over a connection of its own."""
    barrier = Barrier(len(requests))

    def send(request):
        method, path, body = request
        client = api.application.test_client()
        client.environ_base.update(api.environ_base)
        barrier.wait()
        return client.open(V1 + path, method=method, json=body).status_code

    with ThreadPoolExecutor(len(requests)) as pool:
        return sorted(pool.map(send, requests))


def made(api, path, body):
    answer = api.post(V1 + path, json=body)
    assert answer.status_code == 201, answer.get_data(as_text=True)
    return answer.json["id"]


def test_two_audiences_that_would_contain_each_other_do_not(committed, api_with):
    api = api_with()
    one, two = (made(api, "/audiences", {"name": name, "condition": named(name)}) for name in "ab")
    for _ in range(3):
        answers = together(
            api,
            ("PATCH", f"/audiences/{one}", {"condition": within(two)}),
            ("PATCH", f"/audiences/{two}", {"condition": within(one)}),
        )
        assert answers == [200, 422]
        for id_, name in ((one, "a"), (two, "b")):
            api.patch(f"{V1}/audiences/{id_}", json={"condition": named(name)})


def test_a_rule_saved_while_its_audience_changes_reads_what_that_says(committed, api_with):
    api = api_with()
    with transaction():
        tag = make_world().tag().id
    id_ = made(api, "/audiences", {"name": "a", "condition": named("a")})
    rule = {"name": "r", "state": "active", "condition": within(id_), "add_tag_ids": [tag]}
    assert together(
        api, ("PATCH", f"/audiences/{id_}", {"condition": {"kind": "follow"}}), ("POST", "/rules", rule)
    ) == [200, 201]
    assert "follows" in committed.scalars(select(RuleVersion.reads)).one()


def test_the_same_customers_put_on_a_list_twice_at_once_are_on_it_once(committed, api_with):
    api = api_with()
    with transaction():
        world = make_world()
        ids = [world.customer().id for _ in range(50)]
    id_ = made(api, "/audiences", {"name": "a", "kind": "static"})
    rows = [{"customer_id": each} for each in ids]
    add = [("POST", f"/audiences/{id_}/members:add", {"customers": each}) for each in (rows, rows[::-1])]
    assert together(api, *add) == [200, 200]
    assert sorted(committed.scalars(select(AudienceMember.customer_id))) == ids


def test_a_list_is_renamed_and_filled_at_the_same_time(committed, api_with):
    api = api_with()
    with transaction():
        world = make_world()
        ids, tag = [world.customer().id for _ in range(8)], world.tag().id
    id_ = made(api, "/audiences", {"name": "a", "kind": "static"})
    made(
        api,
        "/rules",
        {"name": "r", "state": "active", "condition": within(id_), "add_tag_ids": [tag]},
    )
    path = f"/audiences/{id_}"
    for round_, customer in enumerate(ids):
        row = {"customers": [{"customer_id": customer}]}
        answers = together(
            api,
            ("POST", f"{path}/members:add", row),
            ("PATCH", path, {"name": f"n{round_}"}),
            ("POST", f"{path}/archive", None),  # refused: a rule uses it
        )
        assert answers == [200, 200, 409]
    assert sorted(committed.scalars(select(AudienceMember.customer_id))) == ids
