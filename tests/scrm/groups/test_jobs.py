"""Reading groups from WeCom, and groups in the API."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from scrm.groups import jobs, queries
from scrm.groups.models import CustomerGroup, GroupStay
from scrm.groups.service.details import want_groups
from scrm.kernel import ending
from scrm.kernel.clock import shifted
from scrm.kernel.db import transaction
from scrm.staff.models import Staff
from scrm.wecom.client import wecom
from scrm.wecom.errors import Busy

LATER = timedelta(minutes=1)


@pytest.fixture
def people(committed, sandbox):
    made = sandbox.population(members=2, departments=1, customers=0)
    added = sandbox.add(made["members"][0], count=3)
    return made["members"], [person["external_userid"] for person in added]


@pytest.fixture
def chat(sandbox, people):
    members, customers = people
    return sandbox.create_group(members[0], customers[:2], name="VIP")["chat_id"]


def read(chat):
    with transaction():
        want_groups([chat])
    jobs.refresh_groups()


def group(session):
    session.expire_all()
    return session.scalars(select(CustomerGroup)).one()


def test_a_group_is_read_with_its_members(committed, sandbox, people, chat):
    read(chat)
    found = group(committed)
    owner = committed.get(Staff, found.owner_staff_id)
    assert (found.name, owner.userid, found.status) == ("VIP", people[0][0], "normal")
    stays = {s.member_id: s for s in committed.scalars(select(GroupStay))}
    assert set(stays) == {people[0][0], *people[1][:2]}
    external = stays[people[1][0]]
    assert (external.member_type, external.join_scene, external.name is not None) == (2, 1, True)
    assert external.unionid
    assert stays[people[0][0]].staff_id == owner.id
    assert not queries.refresh_due()


def test_a_group_that_was_not_asked_about_because_the_process_ends_is_wanted_as_before(committed, chat):
    closed = Busy("externalcontact/groupchat/get", 45033, "too many at once")
    wecom().gateway.governor.cool_down("externalcontact/groupchat/get", closed)  # so that there is a wait
    ending.asked.set()
    try:
        read(chat)
        jobs._refresh_round()  # the signal comes during a round
    finally:
        ending.asked.clear()
    assert (group(committed).refresh_failed, group(committed).refreshed_at) == (None, None)
    assert queries.refresh_due()
    jobs.refresh_groups()
    assert group(committed).refreshed_at is not None


def test_a_group_that_wecom_calls_dissolved_is_dismissed(committed, sandbox, people, chat):
    read(chat)
    sandbox.dismiss_group(chat)
    read(chat)
    assert group(committed).status == "dismissed"
    assert committed.scalars(select(GroupStay.left_at).where(GroupStay.left_at.is_(None))).all() == []


def test_a_failing_read_concludes_nothing_and_is_tried_later(committed, sandbox, people, chat):
    read(chat)
    sandbox.fault("errcode", api="externalcontact/groupchat/get", errcode=40050, times=None)
    read(chat)
    assert (group(committed).status, group(committed).refresh_failed[:5]) == ("normal", "40050")
    assert not queries.refresh_due()
    sandbox.clear_faults()
    with shifted(LATER):
        assert queries.refresh_due()
        jobs.refresh_groups()
    assert group(committed).refresh_failed is None


def test_groups_and_their_members_are_listed_in_scope(committed, sandbox, people, chat, api_with):
    read(chat)
    found = group(committed)
    client = api_with("groups:read")
    (item,) = client.get("/api/v1/groups?q=vi&status=normal").json["items"]
    assert (item["chat_id"], item["members"], item["owner_userid"]) == (chat, 3, people[0][0])
    assert client.get("/api/v1/groups?owner_staff_id=999").json["items"] == []
    sandbox.leave_group(chat, [people[1][0]])
    read(chat)
    with shifted(LATER):
        read(chat)
    path = f"/api/v1/groups/{found.id}/members"
    assert len(client.get(path).json["items"]) == 3
    gone = client.get(f"{path}?present=false").json["items"]
    assert [(one["member_id"], one["left_at"] is not None) for one in gone] == [(people[1][0], True)]
    assert client.get(f"/api/v1/groups/{found.id}").json["members"] == 2
    own = api_with("groups:read", staff_ids=[found.owner_staff_id])
    assert own.get(f"/api/v1/groups/{found.id}").status_code == 200
    other = api_with("groups:read", staff_ids=[found.owner_staff_id + 1000])
    assert other.get("/api/v1/groups").json["items"] == []
    assert other.get(path).status_code == 404
