"""Groups of an owner on the job: each on its own, 300 a day, and the owner tells what became of them."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from sqlalchemy import update

from scrm.kernel.db import session, transaction
from scrm.transfers.models import Matter, TransferItem
from scrm.transfers.service import asking
from tests.scrm.transfers.conftest import DAY, rule

API = "externalcontact/groupchat/onjob_transfer"


def test_groups_get_their_new_owner(corp):
    here = corp(members=2, groups=3)
    plan = here.started(matter=Matter.GROUPS)
    here.work()
    assert (here.state(plan), here.states(plan)) == ("done", Counter(done=3))
    session().expire_all()
    assert {group.owner_staff_id for group in here.groups} == {here.staff[1].id}
    (call,) = here.asked(API)
    assert call["new_owner"] == here.staff[1].userid


def test_each_group_of_an_answer_is_taken_on_its_own(corp):
    here = corp(members=3, groups=4)
    here.control.group_behaviour(here.groups[0].chat_id, inactive=True)
    here.control.dismiss_group(here.groups[1].chat_id)
    here.control.own_group(here.groups[2].chat_id, here.staff[1].userid)  # the receiver has it already
    plan = here.started(matter=Matter.GROUPS, rule=rule(here.staff[1]))
    here.work()
    told = {item.group_id: (item.state, item.errcode) for item in here.items(plan)}
    assert told == {
        here.groups[0].id: ("failed", 90510),
        here.groups[1].id: ("failed", 49008),
        here.groups[2].id: ("done", None),
        here.groups[3].id: ("done", None),
    }


def test_300_groups_a_day_to_one_new_owner_and_the_rest_tomorrow(corp, monkeypatch):
    monkeypatch.setattr(asking, "GROUPS_A_DAY", 2)
    here = corp(members=2, groups=5)
    plan = here.started(matter=Matter.GROUPS)
    here.work()
    assert here.states(plan) == Counter(done=2, planned=3)
    assert {item.reason for item in here.items(plan) if item.state == "planned"} == {"daily_limit"}
    for _ in range(2):
        here.later(DAY)
    assert (here.state(plan), here.states(plan)) == ("done", Counter(done=5))
    assert [len(body["chat_id_list"]) for body in here.asked(API)] == [2, 2, 1]


def test_a_day_that_is_full_at_wecom_goes_on_tomorrow(corp):
    here = corp(members=2, groups=3)
    here.control.set_limits(group_transfers_per_day=1)
    try:
        plan = here.started(matter=Matter.GROUPS)
        here.work()
        assert here.states(plan) == Counter(done=1, planned=2)
        here.later(DAY)
        assert here.states(plan) == Counter(done=2, planned=1)
    finally:
        here.control.set_limits(group_transfers_per_day=300)


def test_a_group_without_its_new_owner_after_a_day_is_asked_for_again(corp):
    here = corp(members=2, groups=1)
    here.control.set_limits(group_transfer_seconds=90 * DAY)
    try:
        plan = here.started(matter=Matter.GROUPS)
        here.work()
        assert here.states(plan) == Counter(waiting=1)
        with transaction():
            earlier = TransferItem.accepted_at - timedelta(hours=27)
            session().execute(update(TransferItem).values(accepted_at=earlier, asked_at=earlier))
        for _ in range(2):  # the group is read before it is judged
            here.later(3600)
        item = here.items(plan)[0]
        assert (item.state, item.attempts, item.errcode) == ("waiting", 2, 90507)
    finally:
        here.control.set_limits(group_transfer_seconds=0)
