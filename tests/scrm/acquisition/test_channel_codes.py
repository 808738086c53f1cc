"""Channel codes: made at WeCom, changed there only when WeCom has to hear of it, and their people tagged once."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from scrm.acquisition.jobs import check_all_codes, keep_codes_current
from scrm.acquisition.models import ChannelAdd, ChannelCode
from scrm.customers.events import FollowChanged
from scrm.customers.models import Follow
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.kernel.events import publish
from scrm.staff.events import StaffMerged
from scrm.staff.service import ensure_staff
from scrm.wecom.jobs import carry_out_background, carry_out_events, carry_out_urgent
from scrm.wecom.models import Effect
from tags.jobs import push_assignments
from tags.models import Tag, TagAssignment, TagGroup, TagSource

CALLS = ("add_contact_way", "update_contact_way", "del_contact_way")


def carry_out():
    for job in (carry_out_urgent, carry_out_events, carry_out_background):
        job()


def calls(sandbox):
    return {
        name: len(made) for name in CALLS if (made := sandbox.log(f"externalcontact/{name}", everything=True))
    }


@pytest.fixture
def staff(sandbox, session):
    """Ids of two members the sandbox knows."""
    sandbox.population(members=2, kf_accounts=0)
    with transaction():
        ids = ensure_staff(sandbox.state_ids("member"))
    return sorted(ids.values())


@pytest.fixture
def tag(session):
    """A tag that WeCom knows already."""
    group = TagGroup(wecom_id="etgroup", name="来源")
    session.add(group)
    session.flush()
    made = Tag(wecom_id="ettag", group_id=group.id, name="展会")
    session.add(made)
    session.commit()
    return made


@pytest.fixture
def code(api, staff, tag):
    """Makes a code through the API and lets WeCom accept it."""

    def make(**values):
        body = {"name": "展会", "staff_ids": [staff[0]], "tag_ids": [tag.id], **values}
        answer = api.post("/api/v1/channel-codes", json=body)
        assert answer.status_code == 201, answer.json
        carry_out()
        return api.get(f"/api/v1/channel-codes/{answer.json['id']}").json

    return make


def test_a_code_is_pending_until_wecom_accepted_it(api, staff, sandbox):
    made = api.post("/api/v1/channel-codes", json={"name": "展会", "staff_ids": staff, "remark": "深圳"}).json
    assert (made["status"], made["config_id"], made["state"]) == ("pending", None, f"ch{made['id']}")
    carry_out()
    accepted = api.get(f"/api/v1/channel-codes/{made['id']}").json
    assert (accepted["status"], accepted["error"], accepted["effect_id"]) == ("active", None, None)
    way = sandbox.state("contact_way", accepted["config_id"])
    assert way["settings"]["qr_code"] == accepted["qr_code"]
    assert (way["settings"]["type"], way["settings"]["remark"], way["settings"]["state"]) == (
        2,
        "深圳",
        made["state"],
    )


def test_one_member_makes_a_single_code(code, sandbox):
    way = sandbox.state("contact_way", code()["config_id"])
    assert (way["settings"]["type"], way["settings"]["skip_verify"]) == (1, True)


def test_only_what_wecom_has_to_hear_of_is_sent(api, code, sandbox, staff):
    made = code(staff_ids=staff)
    url = f"/api/v1/channel-codes/{made['id']}"
    for same in ({"name": "新名"}, {"tag_ids": []}, {"skip_verify": True}, {"staff_ids": staff[::-1]}):
        assert api.patch(url, json=same).status_code == 200
        carry_out()
    assert calls(sandbox) == {"add_contact_way": 1}
    api.patch(url, json={"remark": "新"})
    carry_out()
    carry_out()
    assert calls(sandbox) == {"add_contact_way": 1, "update_contact_way": 1}
    assert sandbox.state("contact_way", made["config_id"])["settings"]["remark"] == "新"


def test_a_change_during_a_call_is_sent_after_it(api, staff, sandbox):
    made = api.post("/api/v1/channel-codes", json={"name": "展会", "staff_ids": staff}).json
    for remark in ("一", "二", "三"):
        api.patch(f"/api/v1/channel-codes/{made['id']}", json={"remark": remark})
    carry_out()
    carry_out()
    config_id = api.get(f"/api/v1/channel-codes/{made['id']}").json["config_id"]
    assert sandbox.state("contact_way", config_id)["settings"]["remark"] == "三"
    assert calls(sandbox) == {"add_contact_way": 1, "update_contact_way": 1}


def test_what_wecom_refuses_is_kept_and_may_be_tried_again(api, code, sandbox):
    sandbox.fault("errcode", api="externalcontact/add_contact_way", errcode=41054, times=1)
    made = code()
    assert made["status"] == "failed"
    assert made["error"].startswith("41054")
    api.patch(f"/api/v1/channel-codes/{made['id']}", json={})
    carry_out()
    again = api.get(f"/api/v1/channel-codes/{made['id']}").json
    assert (again["status"], again["error"]) == ("active", None)


def test_a_refused_change_keeps_the_code_working_and_says_why(api, code, sandbox):
    made = code()
    sandbox.fault("errcode", api="externalcontact/update_contact_way", errcode=40058, times=1)
    api.patch(f"/api/v1/channel-codes/{made['id']}", json={"remark": "新"})
    carry_out()
    now = api.get(f"/api/v1/channel-codes/{made['id']}").json
    assert (now["status"], now["error"][:5]) == ("active", "40058")


def test_a_lost_answer_that_a_person_calls_done_says_what_to_do_because_nobody_knows_the_way(
    api, staff, session
):
    made = api.post("/api/v1/channel-codes", json={"name": "展台", "staff_ids": staff}).json
    with transaction():
        session.execute(update(Effect).values(state="unknown", parked="person", next_at=None))
    answer = api.post(f"/api/v1/effects/{made['effect_id']}/resolve", json={"outcome": "confirmed"})
    assert answer.status_code == 200
    now = api.get(f"/api/v1/channel-codes/{made['id']}").json
    assert (now["status"], now["config_id"]) == ("failed", None)
    assert "config_id" in now["error"]


def test_a_deleted_code_is_gone_at_wecom_and_from_the_list(api, code, sandbox):
    made = code()
    url = f"/api/v1/channel-codes/{made['id']}"
    assert api.delete(url).status_code == 204
    carry_out()
    assert sandbox.state_ids("contact_way") == []
    assert api.get("/api/v1/channel-codes").json["items"] == []
    assert [c["id"] for c in api.get("/api/v1/channel-codes?status=deleted").json["items"]] == [made["id"]]
    assert (api.delete(url).status_code, api.patch(url, json={}).status_code) == (404, 404)


def test_a_code_deleted_before_wecom_answered_is_taken_back(api, staff, sandbox):
    made = api.post("/api/v1/channel-codes", json={"name": "展会", "staff_ids": staff}).json
    api.delete(f"/api/v1/channel-codes/{made['id']}")
    carry_out()
    carry_out()
    assert sandbox.state_ids("contact_way") == []
    assert calls(sandbox) == {"add_contact_way": 1, "del_contact_way": 1}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"staff_ids": []}, "staff_ids"),
        ({"staff_ids": list(range(101))}, "staff_ids"),
        ({"staff_ids": [999_999]}, "staff_ids.0"),
        ({"tag_ids": [999_999]}, "tag_ids.0"),
        ({"welcome_id": 999_999}, "welcome_id"),
        ({"remark": "字" * 31}, "remark"),
        ({"colour": "red"}, "colour"),
        ({"name": ""}, "name"),
    ],
)
def test_wrong_input_is_refused_by_field_and_nothing_changes(api, staff, sandbox, session, wrong, field):
    answer = api.post("/api/v1/channel-codes", json={"name": "展会", "staff_ids": [staff[0]], **wrong})
    assert answer.status_code == 422
    assert field in answer.json["fields"]
    assert session.scalars(select(ChannelCode)).all() == []
    assert session.scalars(select(Effect)).all() == []


def test_a_code_of_one_member_cannot_get_several(api, code, staff):
    answer = api.patch(f"/api/v1/channel-codes/{code()['id']}", json={"staff_ids": staff})
    assert (answer.status_code, list(answer.json["fields"])) == (422, ["staff_ids"])


def assignments(session):
    session.expire_all()
    rows = session.execute(
        select(TagAssignment.tag_id, TagSource.source).join(
            TagSource, TagSource.assignment_id == TagAssignment.id
        )
    )
    return [tuple(row) for row in rows]


def test_who_comes_through_a_code_gets_its_tags_once(api, code, door, tag, session):
    made = code()
    newcomer = door.comes_in(made["state"])
    assert assignments(session) == [(tag.id, f"channel:{made['id']}")]
    door.callback_again(newcomer)
    assert len(assignments(session)) == 1
    assert api.get(f"/api/v1/channel-codes/{made['id']}").json["adds"] == 1
    assert api.get("/api/v1/channel-codes").json["items"][0]["adds"] == 1


def test_a_code_that_becomes_known_later_tags_then(code, door, tag, session):
    made = code()
    newcomer = door.comes_in(None)
    assert assignments(session) == []
    with transaction():
        session.execute(update(Follow).where(Follow.id == newcomer.follow_id).values(state=made["state"]))
        row = session.get(Follow, newcomer.follow_id)
        publish(FollowChanged(row.id, row.customer_id, row.staff_id))
    assert assignments(session) == [(tag.id, f"channel:{made['id']}")]


def test_a_tag_taken_away_does_not_come_back_with_the_next_edit(code, door, session):
    made = code()
    newcomer = door.comes_in(made["state"])
    with transaction():
        session.query(TagSource).delete()
        session.query(TagAssignment).delete()
        row = session.get(Follow, newcomer.follow_id)
        publish(FollowChanged(row.id, row.customer_id, row.staff_id))
    assert assignments(session) == []


def test_who_comes_back_through_a_code_is_tagged_again(code, door, session, tag):
    made = code()
    newcomer = door.comes_in(made["state"], ago=3600)
    with transaction():
        session.query(TagSource).delete()
        session.query(TagAssignment).delete()
    door.lose(newcomer, utcnow() - timedelta(seconds=1800))
    door.callback_again(newcomer, utcnow())
    assert assignments(session) == [(tag.id, f"channel:{made['id']}")]
    adds = session.execute(select(ChannelAdd.counts, ChannelAdd.returns).order_by(ChannelAdd.at)).all()
    assert [tuple(add) for add in adds] == [(True, False), (True, True)]


def test_people_of_other_codes_are_not_tagged(code, door, session):
    code()
    door.comes_in("somebody-elses-state")
    assert assignments(session) == []


def test_the_codes_own_welcome_goes_before_the_default(code, door, message):
    message(text="default")
    own = message(text="展会见", is_default=False)
    newcomer = door.comes_in(code(welcome_id=own.id)["state"])
    door.work()
    assert door.delivered(newcomer)["text"] == "展会见"


def test_a_member_known_by_two_names_stays_in_codes_and_messages(code, message, staff, session):
    made = code()
    own = message(staff_ids=[staff[0]])
    with transaction():
        publish(StaffMerged(kept_id=staff[1], gone_id=staff[0]))
    session.expire_all()
    assert session.get(ChannelCode, made["id"]).staff_ids == [staff[1]]
    assert own.staff_ids == [staff[1]]


def test_the_tag_is_marked_at_wecom_exactly_once(code, door, tag, session):
    door.sandbox.create_tags("来源", ["展会"])
    [tag.wecom_id] = door.sandbox.state_ids("tag")[-1:]
    session.commit()
    newcomer = door.comes_in(code()["state"])
    for _ in range(3):
        door.callback_again(newcomer)
        push_assignments()
        carry_out()
    [mark] = door.sandbox.log("externalcontact/mark_tag", everything=True)
    assert (mark["errcode"], mark["body"]["add_tag"]) == (0, [tag.wecom_id])


def test_a_deleted_code_whose_last_change_was_refused_is_still_taken_away(api, code, sandbox):
    made = code()
    sandbox.fault("errcode", api="externalcontact/update_contact_way", errcode=40058, times=1)
    api.patch(f"/api/v1/channel-codes/{made['id']}", json={"remark": "新"})
    api.delete(f"/api/v1/channel-codes/{made['id']}")
    carry_out()
    carry_out()
    assert sandbox.state_ids("contact_way") == []


def test_a_refused_deletion_is_tried_again_the_next_day(api, code, sandbox):
    made = code()
    sandbox.fault("errcode", api="externalcontact/del_contact_way", errcode=48002, times=1)
    api.delete(f"/api/v1/channel-codes/{made['id']}")
    carry_out()
    assert len(sandbox.state_ids("contact_way")) == 1
    for job in (check_all_codes, keep_codes_current, carry_out):
        job()
    assert sandbox.state_ids("contact_way") == []
    made = calls(sandbox)
    for job in (check_all_codes, keep_codes_current, carry_out):
        job()
    assert calls(sandbox) == made
