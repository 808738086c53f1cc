"""On-job transfers against the sandbox WeCom, from the plan to everybody's fate."""

from __future__ import annotations

from collections import Counter

from tests.scrm.transfers.conftest import DAY, ON_JOB


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
