"""Who hears of a loss, and what."""

from __future__ import annotations

import pytest

from scrm.conversations.service.messages import store_messages
from scrm.customers.models import Customer
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.losses.jobs import tell_losses
from scrm.losses.service.judging import BATCH, stay_days
from scrm.staff.models import Staff, StaffDepartment
from tests.scrm.losses.conftest import (
    TRANSFER,
    add,
    alerts,
    at,
    customer_id,
    deleted,
    left,
    losses,
    record,
    seen,
)
from tests.scrm.losses.test_recording import message


def named(session, name, who="wm1"):
    with transaction():
        session.query(Customer).filter_by(external_userid=who).update({"name": name})


def tell():
    tell_losses()
    return [(entry.receiver_id, entry.zh) for entry in alerts(kind="loss")]


def test_the_member_hears_who_left_for_how_long_they_were_there_and_who_spoke_last(people, session):
    record(add(-60 * 24 * 12))
    named(session, "张三")
    with transaction():
        store_messages([message(-90)])
    record(left(0))
    words = "客户「张三」删除了 ZS（添加 12 天；最近联系 2026-03-02 10:30，客户）"
    assert tell() == [(people["zs"], words)]
    [entry] = alerts()
    assert (
        entry.en
        == "customer 张三 deleted ZS (after 12 days; last message 2026-03-02 10:30 from the customer)"
    )


def test_the_member_reads_their_own_remark(people, session):
    seen(-50, ("zs", -60), name="张三")
    session.execute(Customer.__table__.update().values(name="张三"))
    with transaction():
        session.connection().exec_driver_sql("UPDATE follows SET remark = '老张'")
    record(left(0))
    assert tell() == [(people["zs"], "客户「老张」删除了 ZS（添加 0 天；无聊天记录）")]


def test_the_manager_hears_when_a_member_deletes_a_customer(people, session):
    record(deleted(0))
    named(session, "张三")
    assert tell() == [(people["chief"], "ZS 删除了客户「张三」（添加时间未知；无聊天记录）")]


def test_where_nobody_leads_operators_hear_of_it_without_a_name(people, session, configure):
    configure(alerts={"operators": ("boss",)})
    with transaction():
        session.query(StaffDepartment).update({"is_leader": False})
    record(deleted(0))
    named(session, "张三")
    number = customer_id()
    assert tell() == [(people["boss"], f"ZS 删除了客户 #{number}（添加时间未知；无聊天记录）")]


@pytest.mark.parametrize("circles", [(), ("staff",), ("manager",), ("staff", "manager", "operators")])
def test_each_direction_has_its_own_circle(people, configure, circles):
    ids = {"staff": "zs", "manager": "chief", "operators": "boss"}
    configure(
        alerts={"operators": ("boss",)},
        losses={"told_when_customer_leaves": circles, "told_when_member_deletes": ()},
    )
    record(left(0), deleted(0, who="wm2"))
    assert {receiver for receiver, _ in tell()} == {people[ids[one]] for one in circles}


def test_a_loss_is_told_once_however_often_and_late_it_comes(people):
    record(left(0))
    assert len(tell()) == 1
    record(left(0))
    record(add(-20))
    record(left(0), deleted(3))
    assert len(tell()) == 1
    record(add(10), left(20))
    assert len(tell()) == 2


def test_two_apps_that_tell_the_same_loss_a_second_apart_make_one_alert(people):
    record(left(1 / 60))
    assert len(tell()) == 1
    record(left(0))
    assert [row.lost_at for row in losses()] == [at(0)]
    assert len(tell()) == 1


def test_what_a_sync_found_what_is_long_past_and_what_is_a_transfer_alarms_nobody(people):
    record(add(-60 * 24 * 9))
    seen(0)
    record(left(-60 * 24 - 40, who="wm2"), deleted(0, who="wm3", source=TRANSFER))
    assert tell() == []
    assert len(losses()) == 2
    assert all(row.judged_at for row in losses())


def test_a_loss_that_was_found_and_is_then_told_is_news(people):
    record(add(-100))
    seen(10)
    assert tell() == []
    record(deleted(9))
    assert [receiver for receiver, _ in tell()] == [people["chief"]]


def test_for_a_member_who_left_the_leader_hears_of_it(people, session):
    with transaction():
        session.query(Staff).filter_by(userid="zs").update({"left_at": utcnow()})
    record(left(0))
    assert [receiver for receiver, _ in tell()] == [people["chief"]]


def test_for_a_member_who_left_and_whom_nobody_leads_operators_read_no_name_either(
    people, session, configure
):
    configure(alerts={"operators": ("boss",)})
    with transaction():
        session.query(StaffDepartment).update({"is_leader": False})
        session.query(Staff).filter_by(id=people["zs"]).update({"left_at": utcnow()})
        session.connection().exec_driver_sql("UPDATE follows SET remark = '老张'")
    record(left(0))
    named(session, "张三")
    [(receiver, words)] = tell()
    assert receiver == people["boss"]
    assert "张" not in words
    assert f"#{customer_id()}" in words


def test_more_losses_than_one_batch_are_all_told(people):
    record(*(left(0, who=f"wm{number}") for number in range(BATCH + 5)))
    assert len(tell()) == BATCH + 5


def test_days_are_those_of_the_corps_zone(people, configure):
    late, early = at(11 * 60), at(13 * 60)  # 23:00 and 01:00 in Shanghai
    assert stay_days(late, early) == 1
    configure(corp={"timezone": "Europe/London"})
    assert stay_days(late, early) == 0
