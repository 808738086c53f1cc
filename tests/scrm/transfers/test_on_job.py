"""On-job transfers against the sandbox WeCom, from the plan to everybody's fate."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from sqlalchemy import select

from config.queues import Queue
from scrm.alerts.models import AlertEntry
from scrm.customers.service.recording import TransferFailure, record_transfer_failures
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session, transaction
from scrm.kernel.permissions import Scope
from scrm.transfers import jobs
from scrm.transfers.queries.plans import plan_preview
from scrm.transfers.service.activation import cancel_plan, pause_plan, resume_plan
from scrm.transfers.service.redistributing import assign_by_hand
from scrm.wecom.client import wecom
from scrm.wecom.jobs import LANES
from tags.models import Tag, TagAssignment, TagGroup, TagSource
from tags.service import Wish, assign
from tests.scrm.transfers.conftest import DAY, ON_JOB, rule


def test_customers_who_accept_are_handed_over_after_a_day(corp):
    here = corp(members=3, customers=5)
    plan = here.started(message="以后由我的同事为您服务")
    here.work()
    assert here.states(plan) == Counter(waiting=5)
    assert {body["transfer_success_msg"] for body in here.asked()} == {"以后由我的同事为您服务"}
    here.later(DAY + 120)
    assert here.states(plan) == Counter(done=5)
    assert here.state(plan) == "done"
    assert set(here.named().values()) == {1}
    for customer in here.customers:
        item, follows = here.item(plan, customer), here.follows(customer)
        assert follows[here.staff[0].id].delete_source == "DELETE_BY_TRANSFER"
        assert follows[here.staff[0].id].status == "deleted_by_staff"
        assert follows[item.to_staff_id].status == "active"


def test_a_customer_who_refuses_stays_and_is_not_asked_again(corp):
    here = corp(members=2, customers=2)
    plan = here.started()
    here.work()
    here.control.refuse_transfers([here.customers[0].external_userid])
    here.later(DAY + 120)
    refused, done = here.item(plan, here.customers[0]), here.item(plan, here.customers[1])
    assert (refused.state, refused.reason, done.state) == ("refused", "customer_refused", "done")
    assert here.state(plan) == "done"
    assert here.follows(here.customers[0])[here.staff[0].id].status == "active"
    assert here.named(ON_JOB)[here.customers[0].external_userid] == 1


def test_every_customer_of_an_answer_is_taken_on_its_own(corp):
    here = corp(members=3, customers=4)
    first, second, third, fourth = here.customers
    here.control.delete_contact(here.staff[0].userid, first.external_userid)
    other = {"handover_userid": here.staff[0].userid, "takeover_userid": here.staff[2].userid}
    wecom().post(ON_JOB, {**other, "external_userid": [second.external_userid]})  # the console was quicker
    for _ in range(2):
        move(here, third)
    plan = here.started(rule=rule(here.staff[1]))
    here.work()
    told = {item.customer_id: (item.state, item.reason, item.errcode) for item in here.items(plan)}
    assert told == {
        first.id: ("failed", "no_relation", 40131),
        second.id: ("waiting", None, 40129),
        third.id: ("failed", "too_often", 40128),
        fourth.id: ("waiting", None, None),
    }
    possible = here.item(plan, third).possible_at - utcnow()
    assert timedelta(days=89) < possible <= timedelta(days=90)
    here.later(DAY + 300)
    elsewhere = here.item(plan, second)
    assert (elsewhere.state, elsewhere.reason) == ("failed", "in_transfer")
    assert here.item(plan, fourth).state == "done"
    assert here.state(plan) == "done"


def move(here, customer) -> None:
    """There and back: two on-job transfers that only WeCom knows of."""
    ann, bob = (member.userid for member in here.staff[:2])
    old, new = (
        (ann, bob)
        if customer.external_userid in here.control.state("member", ann)["customers"]
        else (bob, ann)
    )
    body = {"handover_userid": old, "takeover_userid": new, "external_userid": [customer.external_userid]}
    wecom().post(ON_JOB, body)
    here.control.finish_transfers([customer.external_userid])


def test_a_full_receiver_is_passed_over_for_a_day_and_others_of_the_share_take_over(corp):
    here = corp(members=3, customers=6)
    full = here.staff[1]
    here.control.staff_behaviour([full.userid], contact_limit=0)
    plan = here.started()
    here.work()
    assert {item.to_staff_id for item in here.items(plan)} == {here.staff[2].id}
    assert here.states(plan) == Counter(waiting=6)
    again = here.plan(rule=rule(full))
    with transaction():
        assert plan_preview(again.id, Scope.all())["left_out"]["reasons"][0]["reason"] == "in_other_plan"
    here.later(DAY + 120)
    assert here.states(plan) == Counter(done=6)


def test_a_receiver_nobody_can_stand_in_for_leaves_the_customer_where_they_are(corp):
    here = corp(members=2, customers=2)
    here.control.staff_behaviour([here.staff[1].userid], contact_limit=1)
    plan = here.started()
    here.work()  # both are taken on: one fits
    here.later(DAY + 300)
    assert here.states(plan) == Counter(done=1, limit=1)


def test_a_missing_permission_pauses_the_plan_and_loses_nobody(corp):
    here = corp(members=2, customers=3)
    here.control.fault("errcode", api=ON_JOB, errcode=48002, times=None)
    plan = here.started()
    here.work()
    assert here.state(plan) == "paused"
    assert "48002" in plan.error
    assert "可调用接口的应用" in plan.error  # the console page
    told = session().scalars(select(AlertEntry.key)).all()
    assert [key for key in told if key.startswith(f"transfer_paused:{plan.id}:")]
    assert here.states(plan) == Counter(planned=3)
    here.control.clear_faults()
    with transaction():
        resume_plan(plan.id, Scope.all())
    here.work()
    assert here.states(plan) == Counter(waiting=3)


def test_a_pause_keeps_what_was_not_asked_and_a_cancel_ends_it(corp):
    here = corp(members=2, customers=3)
    plan = here.started()
    here.work(jobs.ask_for_transfers)
    assert here.states(plan) == Counter(asked=3)
    with transaction():
        pause_plan(plan.id, Scope.all())
    here.work()
    assert here.states(plan) == Counter(planned=3)
    assert here.asked() == []
    with transaction():
        resume_plan(plan.id, Scope.all())
    here.work()
    assert here.states(plan) == Counter(waiting=3)
    with transaction():
        cancel_plan(plan.id, Scope.all())
    here.later(DAY + 120)  # WeCom cannot take it back
    assert (here.state(plan), here.states(plan)) == ("cancelled", Counter(done=3))


def test_a_cancel_before_wecom_was_asked_reaches_nobody(corp):
    here = corp(members=2, customers=3)
    plan = here.started()
    here.work(jobs.ask_for_transfers)
    with transaction():
        cancel_plan(plan.id, Scope.all())
    here.work()
    assert here.states(plan) == Counter(cancelled=3)
    assert here.asked() == []


def test_an_answer_that_got_lost_is_found_again_and_nobody_is_asked_twice(corp):
    here = corp(members=2, customers=3)
    here.control.fault("truncate", api=ON_JOB)
    plan = here.started()
    here.work(jobs.ask_for_transfers, LANES[Queue.BROADCAST], rounds=5)
    assert here.states(plan) == Counter(asked=3)
    here.later(15)
    assert here.states(plan) == Counter(waiting=3)
    assert set(here.named().values()) == {1}


def test_somebody_wecom_shows_no_record_of_is_asked_for_again(corp):
    here = corp(members=2, customers=1)
    plan = here.started()
    here.work()
    here.control.delete_contact(here.staff[0].userid, here.customers[0].external_userid)
    here.control.finish_transfers()  # the relation is gone: status 5, no event
    here.later(7 * 3600)
    item = here.item(plan, here.customers[0])
    assert (item.state, item.reason, item.errcode) == ("failed", "no_relation", 40131)


def test_tags_follow_when_the_plan_wants_it(corp):
    here = corp(members=2, customers=2)
    group = TagGroup(name="等级", wecom_id="etG")
    session().add(group)
    session().flush()
    tag = Tag(group_id=group.id, name="VIP", wecom_id="etV")
    session().add(tag)
    session().commit()
    old = here.follows(here.customers[0])[here.staff[0].id]
    with transaction():
        assign([Wish(old.id, tag.id, "manual:test", add=True)])
    plan = here.started(copy_tags=True)
    here.work()
    here.later(DAY + 120)
    assert here.states(plan) == Counter(done=2)
    new = here.follows(here.customers[0])[here.staff[1].id]
    sources = session().execute(
        select(TagAssignment.follow_id, TagSource.source).join(
            TagSource, TagSource.assignment_id == TagAssignment.id
        )
    )
    assert (new.id, f"transfer:{plan.id}") in sources.all()


def test_refused_ones_can_be_given_to_somebody_else_by_hand(corp):
    here = corp(members=3, customers=2)
    plan = here.started(rule=rule(here.staff[1]))
    here.work()
    here.control.refuse_transfers()
    here.later(6 * 3600 + 60)
    assert (here.state(plan), here.states(plan)) == ("done", Counter(refused=2))
    with transaction():
        ids = [item.id for item in here.items(plan)]
        assert assign_by_hand(plan.id, ids, here.staff[2].id, Scope.all()) == 2
    here.work()
    assert (here.state(plan), here.states(plan)) == ("active", Counter(waiting=2))
    here.later(DAY + 120)
    assert (here.state(plan), here.states(plan)) == ("done", Counter(done=2))


def test_wecom_is_asked_seldom_while_the_day_runs_and_often_after_it(corp):
    here = corp(members=2, customers=2)
    here.control.set_limits(transfer_seconds=26 * 3600)  # WeCom is late
    result = "externalcontact/transfer_result"
    plan = here.started()
    here.work()
    for _ in range(23 * 6):
        here.late += 600
        here.work(jobs.read_results)
    during = len(here.asked(result))
    assert 4 <= during <= 6  # once soon, then every six hours
    here.control.set_limits(transfer_seconds=DAY)
    here.control.advance_clock(here.late)  # WeCom's clock had stood still
    here.wait(26 * 3600 - here.late)
    for _ in range(12):
        here.later(600)
    assert here.states(plan) == Counter(done=2)
    assert len(here.asked(result)) - during <= 6


def test_a_transfer_that_failed_is_known_from_the_event_before_wecom_is_asked(corp):
    here = corp(members=2, customers=1)
    plan = here.started()
    here.work()
    (customer,), receiver = here.customers, here.staff[1]
    failed = TransferFailure(receiver.userid, customer.external_userid, utcnow(), "customer_limit_exceed")
    with transaction():
        record_transfer_failures([failed, failed])
    item = here.item(plan, customer)
    assert (item.state, item.reason, here.state(plan)) == ("limit", "receiver_full", "done")
    assert here.asked("externalcontact/transfer_result") == []
