"""Contact ways, join ways, entry welcomes: every one is asked for by its id, and what is gone is called so."""

import pytest
from sqlalchemy import select, text

from scrm.acquisition.models import ChannelCode, CodeState, FoundWay
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.kernel.permissions import Scope
from scrm.sync.queries import run_report
from scrm.wecom.client import wecom
from tests.scrm.sync.conftest import counts, later_sync, relations, run_of, sync, versions

WAYS = {"entities": ["contact_ways"]}


@pytest.fixture
def ways(corp):
    """Three contact ways that somebody made at WeCom."""
    made = [
        wecom().post(
            "externalcontact/add_contact_way",
            {"type": 1, "scene": 2, "user": ["staff0001"], "state": f"s{n}"},
        )
        for n in range(3)
    ]
    return [one["config_id"] for one in made]


def code(config_id, state):
    """A channel code of ours that WeCom holds as ``config_id``."""
    with transaction() as session:
        made = ChannelCode(
            name="门店", state=state, config_id=config_id, status=CodeState.ACTIVE, staff_ids=[1], tag_ids=[],
            contact_type=1, accepted_at=utcnow(),
        )  # fmt: skip
        session.add(made)
    return made.id


def test_ways_that_are_none_of_ours_are_kept_to_be_adopted(committed, ways):
    run = sync(**WAYS)
    assert run.counts["contact_ways"]["new"] == 3
    assert set(committed.scalars(select(FoundWay.config_id))) == set(ways)
    before = versions(committed)
    assert counts(sync(**WAYS)) == {}
    assert versions(committed) == before


def test_a_way_that_wecom_does_not_know_any_more_is_gone(committed, ways):
    sync(**WAYS)
    wecom().post("externalcontact/del_contact_way", {"config_id": ways[0]})
    run = later_sync(**WAYS)
    assert counts(run)["contact_ways"] == (0, 0, 1)
    assert committed.scalars(select(FoundWay.config_id).where(FoundWay.gone_at.is_(None))).all() == ways[1:]


def test_our_code_that_no_list_shows_is_asked_for_and_missed(corp, committed, ways):
    sync(entities=["staff"])
    code_id = code("f" * 32, "ours")
    run = later_sync(**WAYS)
    assert committed.get(ChannelCode, code_id, populate_existing=True).status == CodeState.MISSING
    assert counts(run)["contact_ways"] == (3, 0, 1)


def test_a_way_that_cannot_be_read_is_reported_and_its_code_stays(corp, committed, ways):
    sync(entities=["staff"])
    code_id = code(ways[0], "s0")
    corp.fault("errcode", api="externalcontact/get_contact_way", errcode=60020, times=None)
    run = later_sync(**WAYS)
    assert committed.get(ChannelCode, code_id, populate_existing=True).status == CodeState.ACTIVE
    failures = run_report(run.id, Scope.all())["failures"]
    assert {(one["entity"], one["errcode"]) for one in failures} == {("contact_ways", 60020)}
    assert {one["key"] for one in failures} == set(ways)


def test_codes_without_number_do_not_vanish_unasked(corp, committed):
    sync(entities=["staff"])
    for number in range(12):
        code(f"{number:032x}", f"c{number}")
    run = later_sync(**WAYS)
    assert (run.state, run.guard["contact_ways"]["gone"]) == ("waiting_for_person", 12)
    assert {row.status for row in committed.scalars(select(ChannelCode))} == {CodeState.ACTIVE}


def test_who_came_through_a_code_unheard_counts_for_it_and_is_not_welcomed(corp, committed, ways):
    sync()
    code_id = code(ways[0], "s0")
    (person,) = corp.scan(config_id=ways[0])
    later_sync()
    follow = relations(committed)[person["external_userid"], "staff0001"][1]
    adds = committed.execute(text("SELECT follow_id, channel_code_id, counts FROM channel_adds")).all()
    assert adds == [(follow.id, code_id, True)]
    assert committed.scalar(text("SELECT count(*) FROM welcomes")) == 0


def test_join_ways_and_entry_welcomes_are_asked_for_by_the_ids_we_hold(corp, committed):
    chat_id = corp.state_ids("group")[0]
    way = wecom().post(
        "externalcontact/groupchat/add_join_way", {"scene": 2, "chat_id_list": [chat_id], "remark": "r"}
    )
    template = wecom().post("externalcontact/group_welcome_template/add", {"text": {"content": "欢迎"}})
    with transaction() as session:
        for config_id, name in ((way["config_id"], "kept"), ("0" * 32, "gone")):
            session.execute(
                text("""
                INSERT INTO group_codes (name, state, config_id, status, cap, tag_ids, accepted)
                VALUES (:name, :name, :id, 'active', 200, '{}', '{}')
                """),
                {"name": name, "id": config_id},
            )
        session.execute(
            text(
                "INSERT INTO entry_welcomes (name, text, template_id, status) VALUES ('w', '欢迎', :id, 'active')"
            ),
            {"id": template["template_id"]},
        )
    run = later_sync(entities=["join_ways", "group_templates"])
    assert run.state == "done"
    assert run.counts["join_ways"]["seen"] == 1
    assert run.counts["join_ways"]["gone"] == 1
    assert run.counts["group_templates"]["seen"] == 1
    states = dict(committed.execute(text("SELECT name, status FROM group_codes")).all())
    assert states == {"kept": "active", "gone": "failed"}
    assert run_of(run.id).counts["join_ways"]["samples"]["gone"] == ["0" * 32]
