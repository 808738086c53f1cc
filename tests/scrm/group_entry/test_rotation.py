"""Full groups are taken out, the next take their place; when all are full WeCom makes the next, or operators are told."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text

from scrm.alerts.models import AlertEntry
from scrm.group_entry.jobs import review_codes
from scrm.group_entry.models import GroupCodeGroup
from scrm.group_entry.service.rotation import review_due
from scrm.kernel.clock import shifted
from tests.scrm.group_entry.conftest import carry_out

LATER = timedelta(minutes=1)


def told(session):
    return session.scalars(select(AlertEntry.key).where(AlertEntry.kind == "group_code_full")).all()


def in_use(company, code):
    return [company.id_of(chat_id) for chat_id in company.way(code)["chat_id_list"]]


def test_a_group_that_reaches_its_cap_makes_room_for_the_next(company, committed):
    groups = [company.group() for _ in range(6)]
    code = company.code(*groups, cap=3)
    assert in_use(company, code) == groups[:5]
    company.scan(code)
    assert company.calls() == {"add_join_way": 1}
    company.scan(code)  # the owner and two people
    assert in_use(company, code) == groups[1:]
    assert company.calls() == {"add_join_way": 1, "update_join_way": 1}
    shown = company.show(code["id"])
    assert [g["group_id"] for g in shown["groups"] if g["full_at"]] == groups[:1]
    assert [g["takes_people"] for g in shown["groups"]] == [False, *[True] * 5]
    assert shown["full_at"] is None


def test_one_who_leaves_and_one_who_comes_are_no_calls(company, sandbox):
    groups = [company.group(), company.group()]
    code = company.code(*groups, cap=11)
    people = company.scan(code, count=10)
    assert in_use(company, code) == groups[1:]
    before = company.calls()
    sandbox.leave_group(company.chat(groups[0]), [people[0]["external_userid"]])
    with shifted(LATER):
        company.read(company.chat(groups[0]))
    assert company.calls() == before
    assert in_use(company, code) == groups[1:]
    sandbox.leave_group(company.chat(groups[0]), [one["external_userid"] for one in people[1:4]])
    with shifted(LATER):
        company.read(company.chat(groups[0]))
    assert in_use(company, code) == groups  # clearly emptier: it takes people again


def test_when_all_are_full_operators_are_told_once_and_people_can_still_come(company, committed):
    groups = [company.group(), company.group()]
    code = company.code(*groups, cap=2)
    company.scan(code)
    assert (company.show(code["id"])["full_at"], told(committed)) == (None, [])
    company.scan(code)
    shown = company.show(code["id"])
    assert shown["full_at"]
    assert in_use(company, code) == groups[1:]  # WeCom takes no empty list: the last one stays
    company.scan(code)
    committed.expire_all()
    assert len(told(committed)) == 1
    assert company.api.get("/api/v1/group-codes?full=true").json["items"][0]["id"] == code["id"]
    company.change(code["id"], cap=100)
    assert company.show(code["id"])["full_at"] is None
    company.change(code["id"], cap=2)
    committed.expire_all()
    assert len(told(committed)) == 2  # full once more


def test_wecom_makes_the_next_group_and_it_becomes_the_codes(company, committed, sandbox):
    group = company.group()
    code = company.code(group, cap=3, auto_create_room=True, room_base_name="福利群", room_base_id=7)
    sandbox.set_limits(group_capacity=3)
    company.scan(code, count=2)
    assert told(committed) == []
    assert company.show(code["id"])["full_at"] is None  # the next group makes itself
    (first,) = company.scan(code)
    assert first["name"] == "福利群7"
    made = company.id_of(first["chat_id"])
    assert in_use(company, code) == [made]
    assert company.way(code)["room_base_id"] == 8
    company.scan(code)
    (second,) = company.scan(code)
    assert second["name"] == "福利群8"
    shown = company.show(code["id"])
    assert [g["source"] for g in shown["groups"]] == ["chosen", "wecom", "wecom"]
    assert company.calls() == {"add_join_way": 1, "update_join_way": 2}


def test_a_group_taken_off_by_hand_does_not_come_back_with_late_news(company, committed):
    groups = [company.group(), company.group()]
    code = company.code(*groups, auto_create_room=True, room_base_name="群")
    (someone,) = company.sandbox.scan_group(config_id=code["config_id"])
    company.change(code["id"], groups=[{"group_id": groups[1]}])
    company.read(someone["chat_id"])  # only now do we hear of the join
    assert [g["group_id"] for g in company.show(code["id"])["groups"]] == groups[1:]


def test_a_dismissed_group_is_taken_out(company, sandbox):
    groups = [company.group(), company.group()]
    code = company.code(*groups)
    sandbox.dismiss_group(company.chat(groups[0]))
    company.read(company.chat(groups[0]))
    assert in_use(company, code) == groups[1:]


def test_what_no_event_told_is_found_by_the_clock(company, committed):
    groups = [company.group(), company.group()]
    code = company.code(*groups, cap=2)
    assert not review_due()
    committed.execute(
        text(
            "INSERT INTO group_stays (group_id, member_id, member_type, joined_at) VALUES (:g, 'wmQuiet', 2, now())"
        ),
        {"g": groups[0]},
    )
    committed.commit()
    assert review_due()
    review_codes()
    carry_out()
    assert not review_due()
    assert in_use(company, code) == groups[1:]


@pytest.mark.parametrize("cap", [None, 2])
def test_a_group_may_have_its_own_cap(company, committed, cap):
    groups = [company.group(), company.group()]
    code = company.code(*groups, cap=50)
    company.change(code["id"], groups=[{"group_id": groups[0], "cap": cap}, {"group_id": groups[1]}])
    company.scan(code)
    full = committed.get(GroupCodeGroup, (code["id"], groups[0]), populate_existing=True).full_at
    assert (full is not None) == (cap == 2)
