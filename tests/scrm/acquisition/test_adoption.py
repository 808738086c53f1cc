"""What a sync finds at WeCom: ways of others are kept and may be adopted, ours that vanished or were changed are shown."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from scrm.acquisition.jobs import keep_codes_current
from scrm.acquisition.models import ChannelAdd, ChannelCode, FoundWay
from scrm.acquisition.service.adoption import apply_ways_seen, known_config_ids
from scrm.alerts.models import AlertEntry
from scrm.customers.service.recording import Add, record_adds
from scrm.kernel.clock import utcnow
from scrm.kernel.counts import Seen
from scrm.kernel.db import transaction
from scrm.staff.service import ensure_staff
from scrm.wecom.client import wecom
from scrm.wecom.errors import NotFound
from scrm.wecom.jobs import carry_out_background, carry_out_events, carry_out_urgent
from tags.models import TagAssignment

URL = "/api/v1/channel-codes"


def carry_out():
    for job in (keep_codes_current, carry_out_urgent, carry_out_events, carry_out_background):
        job()


@pytest.fixture
def staff(sandbox, session):
    sandbox.population(members=3, kf_accounts=0)
    with transaction():
        return list(ensure_staff(sandbox.state_ids("member")).values())


@pytest.fixture
def code(api, staff):
    made = api.post(URL, json={"name": "展会", "staff_ids": staff[:2], "remark": "深圳"}).json
    carry_out()
    return api.get(f"{URL}/{made['id']}").json


def sync():
    """What the sync does with contact ways: list, get each, and what we know beside that."""
    client, asked_at = wecom(), utcnow() + timedelta(seconds=1)
    listed = {way["config_id"] for way in client.post("externalcontact/list_contact_way", {})["contact_way"]}
    seen, missing = [], []
    for config_id in sorted(listed | set(known_config_ids())):
        try:
            seen.append(
                client.post("externalcontact/get_contact_way", {"config_id": config_id})["contact_way"]
            )
        except NotFound:
            missing.append(config_id)
    with transaction():
        return apply_ways_seen(seen, missing, asked_at)


def elsewhere(sandbox, **values):
    """A contact way that another program made."""
    users = sandbox.state_ids("member")
    return wecom().post(
        "externalcontact/add_contact_way", {"type": 2, "scene": 2, "user": users[:2], **values}
    )["config_id"]


def test_ours_is_untouched_and_a_second_sync_writes_nothing(code, count_statements, sandbox):
    elsewhere(sandbox)
    assert sync() == Seen(seen=2, new=1, untouched=1)
    with transaction():
        assert sync() == Seen(seen=2, untouched=2)


def test_a_way_of_others_is_shown_and_adopted_without_a_call(api, code, sandbox, staff, session):
    config_id = elsewhere(sandbox, state="channel_1", remark="门店", skip_verify=False)
    sync()
    [found] = api.get(f"{URL}/found").json["items"]
    assert (found["config_id"], found["details"]["state"]) == (config_id, "channel_1")
    before = len(sandbox.log(everything=True))
    answer = api.post(f"{URL}/adopt", json={"config_ids": [config_id]})
    assert answer.status_code == 201, answer.json
    [made] = answer.json
    assert (made["name"], made["state"], made["status"], made["skip_verify"]) == (
        "门店",
        "channel_1",
        "active",
        False,
    )
    assert sorted(made["staff_ids"]) == sorted(made["on_duty"]) == sorted(staff[:2])
    carry_out()
    assert len(sandbox.log(everything=True)) == before
    assert api.get(f"{URL}/found").json["items"] == []
    assert sync() == Seen(seen=2, untouched=2)
    again = api.post(f"{URL}/adopt", json={"config_ids": [config_id]})
    assert "config_ids.0" in again.json["fields"]


def test_who_came_through_it_before_counts_and_is_not_served_again(api, sandbox, staff, session):
    config_id = elsewhere(sandbox, state="channel_1")
    with transaction():
        record_adds(
            [Add(sandbox.state_ids("member")[0], "wmOLD", utcnow() - timedelta(days=90), False, "channel_1")]
        )
    sync()
    [made] = api.post(f"{URL}/adopt", json={"config_ids": [config_id]}).json
    assert made["adds"] == 1
    assert session.scalars(select(ChannelAdd.remark_state)).all() == ["none"]
    assert session.scalars(select(TagAssignment.id)).all() == []


def test_a_state_that_is_taken_or_missing_becomes_one_of_its_own_and_wecom_is_told(
    api, code, sandbox, session
):
    twins = [elsewhere(sandbox, state=code["state"]), elsewhere(sandbox)]
    sync()
    made = api.post(f"{URL}/adopt", json={"config_ids": twins}).json
    assert len({one["state"] for one in (*made, code)}) == 3
    carry_out()
    for one in made:
        assert sandbox.state("contact_way", one["config_id"])["settings"]["state"] == one["state"]


def test_buttons_unknown_and_repeated_ways_are_refused_by_place(api, code, sandbox, session):
    button = elsewhere(sandbox, scene=1, style=1)
    good = elsewhere(sandbox)
    sync()
    for ids, path in (
        ([good, button], "config_ids.1"),
        (["x"], "config_ids.0"),
        ([good, good], "config_ids.1"),
    ):
        assert list(api.post(f"{URL}/adopt", json={"config_ids": ids}).json["fields"]) == [path]
    assert len(session.scalars(select(ChannelCode.id)).all()) == 1


def test_ours_that_vanished_is_marked_told_and_made_anew_on_demand(api, code, sandbox, session):
    wecom().post("externalcontact/del_contact_way", {"config_id": code["config_id"]})
    assert sync() == Seen(gone=1)
    url = f"{URL}/{code['id']}"
    assert api.get(url).json["status"] == "missing"
    assert session.scalars(select(AlertEntry.kind)).all() == ["channel_code_missing"]
    api.patch(url, json={"remark": "新"})
    carry_out()
    assert sandbox.state_ids("contact_way") == []
    assert sync() == Seen()
    assert api.post(f"{url}/recreate").json["status"] == "pending"
    carry_out()
    shown = api.get(url).json
    assert (shown["status"], shown["state"]) == ("active", code["state"])
    assert shown["config_id"] != code["config_id"]
    assert api.post(f"{url}/recreate").status_code == 409


def test_a_vanished_code_is_noticed_by_a_refused_change_too(api, code, sandbox):
    wecom().post("externalcontact/del_contact_way", {"config_id": code["config_id"]})
    api.patch(f"{URL}/{code['id']}", json={"remark": "新"})
    carry_out()
    assert api.get(f"{URL}/{code['id']}").json["status"] == "missing"


def change_at_wecom(code, **values):
    wecom().post("externalcontact/update_contact_way", {"config_id": code["config_id"], **values})


@pytest.mark.parametrize("keep", ["ours", "wecom"])
def test_what_was_changed_at_wecom_is_shown_and_a_person_decides(api, code, sandbox, staff, keep):
    third = sandbox.state_ids("member")[2]
    change_at_wecom(code, remark="他人", user=[third])
    assert sync() == Seen(seen=1, changed=1)
    url = f"{URL}/{code['id']}"
    drift = api.get(url).json["drift"]
    assert drift["remark"] == {"ours": "深圳", "wecom": "他人"}
    assert drift["user"]["wecom"] == [third]
    keep_codes_current()
    carry_out()
    assert sandbox.state("contact_way", code["config_id"])["settings"]["remark"] == "他人", (
        "nobody decided yet"
    )
    assert [c["id"] for c in api.get(f"{URL}?drifted=true").json["items"]] == [code["id"]]
    shown = api.post(f"{url}/drift", json={"keep": keep}).json
    carry_out()
    way = sandbox.state("contact_way", code["config_id"])["settings"]
    assert (shown["drift"], way["remark"]) == (None, "深圳" if keep == "ours" else "他人")
    assert shown["staff_ids"] == (staff[:2] if keep == "ours" else [staff[2]])
    assert sync() == Seen(seen=1, untouched=1)
    assert api.post(f"{url}/drift", json={"keep": keep}).status_code == 409


def test_a_change_of_ours_that_is_under_way_is_no_drift(api, code, sandbox):
    asked_at = utcnow()
    way = wecom().post("externalcontact/get_contact_way", {"config_id": code["config_id"]})["contact_way"]
    api.patch(f"{URL}/{code['id']}", json={"remark": "新"})
    with transaction():
        assert apply_ways_seen([way], [], asked_at) == Seen(seen=1, untouched=1)
    carry_out()
    with transaction():
        assert apply_ways_seen([way], [], asked_at) == Seen(seen=1, untouched=1)
        assert apply_ways_seen([], [code["config_id"]], asked_at) == Seen()
    assert api.get(f"{URL}/{code['id']}").json["drift"] is None


def test_found_ways_that_are_gone_are_marked_and_come_back(api, session, sandbox, staff):
    config_id = elsewhere(sandbox)
    sync()
    wecom().post("externalcontact/del_contact_way", {"config_id": config_id})
    assert sync() == Seen(gone=1)
    assert sync() == Seen()
    assert [w["config_id"] for w in api.get(f"{URL}/found?gone=true").json["items"]] == [config_id]
    assert "config_ids.0" in api.post(f"{URL}/adopt", json={"config_ids": [config_id]}).json["fields"]
    details = session.scalars(select(FoundWay.details)).one()
    with transaction():
        assert apply_ways_seen([details], [], utcnow()) == Seen(seen=1, changed=1)
    assert api.get(f"{URL}/found").json["items"] != []


def test_temporary_codes_are_not_asked_about(api, staff, sandbox):
    made = api.post(URL, json={"name": "t", "staff_ids": staff[:1], "is_temp": True}).json
    carry_out()
    assert known_config_ids() == []
    assert api.get(f"{URL}/{made['id']}").json["status"] == "active"


def test_an_add_that_only_a_sync_saw_counts_and_is_not_served(api, code, session):
    from scrm.acquisition.jobs import check_all_codes
    from scrm.customers.models import Customer, Follow

    session.add(Customer(external_userid="wmSEEN"))
    session.flush()
    customer = session.scalars(select(Customer.id)).one()
    session.add(
        Follow(
            customer_id=customer,
            staff_id=code["staff_ids"][0],
            state=code["state"],
            state_at=utcnow(),
            added_at=utcnow(),
        )
    )
    session.commit()
    for _ in range(2):
        check_all_codes()
    assert api.get(f"{URL}/{code['id']}").json["adds"] == 1
    assert session.scalars(select(TagAssignment.id)).all() == []
