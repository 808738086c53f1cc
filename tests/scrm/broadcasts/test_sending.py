"""A broadcast's way to WeCom and back, against the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import update

from config.queues import Queue
from scrm.broadcasts import jobs
from scrm.broadcasts.models import BroadcastKind, BroadcastState, TargetState
from scrm.broadcasts.queries import audience
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import session, transaction
from scrm.wecom.effects import retry
from scrm.wecom.jobs import LANES
from scrm.wecom.models import Effect
from tests.scrm.broadcasts.conftest import Corp

MakeCorp = Callable[..., Corp]


def test_customers_receive_it_and_the_result_comes_back(corp: MakeCorp) -> None:
    company = corp(members=2, customers=3)
    broadcast = company.started(text="spring", attachments=[])
    company.work()
    assert company.state(broadcast) == "open"
    assert company.reached() == sorted(c.external_userid for c in company.customers)
    assert all(body["text"] == {"content": "spring"} for body in company.accepted())
    assert {row.state for row in company.targets(broadcast).values()} == {TargetState.SUBMITTED}
    for chunk in company.chunks(broadcast):
        company.control.confirm_broadcast(chunk.msgid)
    company.work_later(301)
    assert company.state(broadcast) == "finished"
    for row in company.targets(broadcast).values():
        assert row.state is TargetState.SENT
        assert row.sent_at is not None
    assert all(chunk.sender_status == 2 and chunk.closed_at for chunk in company.chunks(broadcast))


def test_groups_receive_it_through_their_owners(corp: MakeCorp) -> None:
    company = corp(members=2, groups=2)
    broadcast = company.started(kind=BroadcastKind.GROUPS)
    company.work()
    bodies = company.accepted()
    assert sorted(body["sender"] for body in bodies) == sorted(member.userid for member in company.staff)
    assert {body["chat_type"] for body in bodies} == {"group"}
    assert company.reached() == sorted(group.chat_id for group in company.groups)
    for chunk in company.chunks(broadcast):
        company.control.confirm_broadcast(chunk.msgid)
    company.work_later(301)
    assert company.state(broadcast) == "finished"
    assert {row.state for row in company.targets(broadcast).values()} == {TargetState.SENT}


def test_every_chunk_keeps_its_own_msgid(corp: MakeCorp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(audience.CHUNK_SIZE, BroadcastKind.CUSTOMERS, 2)
    company = corp(members=1, customers=7)
    broadcast = company.started()
    company.work()
    msgids = [chunk.msgid for chunk in company.chunks(broadcast)]
    assert len(set(msgids)) == len(msgids) == 4
    assert None not in msgids
    assert [len(body["external_userid"]) for body in company.accepted()] == [2, 2, 2, 1]
    assert len(set(company.reached())) == 7


def test_wecoms_fail_list_is_kept_per_recipient(corp: MakeCorp, committed) -> None:
    company = corp(members=1, customers=2)
    gone = company.customers[0]
    company.control.delete_contact(
        company.staff[0].userid, gone.external_userid
    )  # we have not heard of it yet
    broadcast = company.started()
    company.work()
    rows = company.targets(broadcast)
    assert rows[gone.external_userid].state is TargetState.REFUSED
    assert "fail_list" in rows[gone.external_userid].reason
    assert rows[company.customers[1].external_userid].state is TargetState.SUBMITTED


def test_a_chunk_nobody_of_which_can_receive_is_refused_and_others_go_on(corp: MakeCorp) -> None:
    company = corp(members=2, customers=1)
    unlucky, lucky = company.customers
    company.control.delete_contact(company.staff[0].userid, unlucky.external_userid)
    broadcast = company.started()
    company.work()
    rows = company.targets(broadcast)
    assert rows[unlucky.external_userid].state is TargetState.REFUSED
    assert "41048" in rows[unlucky.external_userid].reason
    assert rows[lucky.external_userid].state is TargetState.SUBMITTED
    assert company.state(broadcast) == "open"
    assert [chunk.msgid is None for chunk in company.chunks(broadcast)] == [True, False]


def test_when_wecom_refuses_every_chunk_the_broadcast_has_failed(corp: MakeCorp) -> None:
    company = corp(members=2, customers=1)
    for member, customer in zip(company.staff, company.customers, strict=True):
        company.control.delete_contact(member.userid, customer.external_userid)
    broadcast = company.started()
    company.work()
    assert company.state(broadcast) == "failed"
    assert broadcast.finished_at is not None


def test_a_text_or_media_wecom_refuses_pauses_before_the_whole_audience_is_burnt(corp: MakeCorp) -> None:
    company = corp(members=6, customers=1)
    bad_media = [{"msgtype": "image", "image": {"media_id": "expired"}}]
    broadcast = company.started(attachments=bad_media)
    company.work()
    assert company.state(broadcast) == "paused"
    assert "40007" in broadcast.error
    states = sorted(row.state.value for row in company.targets(broadcast).values())
    assert states == ["planned"] * 3 + ["refused"] * 3


def test_statuses_of_wecom_are_told_apart(corp: MakeCorp) -> None:
    company = corp(members=1, customers=3)
    left, capped, lucky = company.customers
    company.control.set_limits(receive_cap="day_1")
    first = company.started(audience={"customer_ids": [capped.id]})
    company.work()
    company.control.confirm_broadcast(company.chunks(first)[0].msgid)
    company.control.delete_follow(company.staff[0].userid, left.external_userid)
    second = company.started()
    company.work()
    company.control.confirm_broadcast(company.chunks(second)[0].msgid)
    company.work_later(301)
    company.control.set_limits(receive_cap="month_days")
    rows = company.targets(second)
    assert rows[left.external_userid].state is TargetState.NOT_FRIEND
    assert rows[capped.external_userid].state is TargetState.CAPPED
    assert rows[lucky.external_userid].state is TargetState.SENT
    assert company.state(second) == "finished"


def test_members_who_never_confirm_leave_their_recipients_not_sent(corp: MakeCorp) -> None:
    company = corp(members=1, customers=2)
    broadcast = company.started()
    company.work()
    company.work_later(301)
    assert company.state(broadcast) == "open"
    company.work_later(7 * 86400 + 60)
    assert company.state(broadcast) == "finished"
    rows = company.targets(broadcast).values()
    assert {(row.state, row.reason) for row in rows} == {
        (TargetState.NOT_SENT, "the member did not confirm in time")
    }


def test_results_are_read_over_many_pages(corp: MakeCorp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "PAGE", 10)
    company = corp(members=2, customers=35)
    broadcast = company.started()
    company.work()
    for chunk in company.chunks(broadcast):
        company.control.confirm_broadcast(chunk.msgid)
    company.work_later(301)
    assert company.state(broadcast) == "finished"
    pages = company.accepted("externalcontact/get_groupmsg_send_result")
    assert len(pages) == 8
    assert {row.state for row in company.targets(broadcast).values()} == {TargetState.SENT}


def test_a_killed_poll_goes_on_from_the_stored_cursor(
    corp: MakeCorp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "PAGE", 10)
    monkeypatch.setattr(jobs, "BUDGET_SECONDS", 0)  # one step, then the job leaves, as a killed one would
    company = corp(members=1, customers=25)
    broadcast = company.started()
    company.work()
    company.control.confirm_broadcast(company.chunks(broadcast)[0].msgid)
    company.control.advance_clock(301)
    with shifted(timedelta(seconds=301)):
        jobs.poll_results()  # task, and with it "there are recipients to read"
        jobs.poll_results()  # first page
        [chunk] = company.chunks(broadcast)
        assert chunk.poll_cursor
        assert sum(row.state is TargetState.SENT for row in company.targets(broadcast).values()) in (10, 20)
        company.work()
    assert company.state(broadcast) == "finished"
    asked = [body.get("cursor") for body in company.accepted("externalcontact/get_groupmsg_send_result")]
    assert len(asked) == len(set(asked)) == 3  # no page was read twice


def test_a_cursor_wecom_forgot_starts_the_pass_anew(corp: MakeCorp, monkeypatch: pytest.MonkeyPatch) -> None:
    company = corp(members=1, customers=2)
    broadcast = company.started()
    company.work()
    company.control.confirm_broadcast(company.chunks(broadcast)[0].msgid)
    company.control.fault("errcode", api="externalcontact/get_groupmsg_send_result", errcode=50100)
    company.work_later(301)
    assert company.chunks(broadcast)[0].poll_cursor is None
    company.work_later(301 + 301)
    assert company.state(broadcast) == "finished"


def test_a_task_still_being_dispatched_is_asked_again_soon(corp: MakeCorp) -> None:
    company = corp(members=1, customers=1)
    company.control.set_limits(mass_send_dispatch_seconds=3)
    broadcast = company.started()
    company.work()
    [chunk] = company.chunks(broadcast)
    assert chunk.closed_at is None
    assert chunk.error is None
    assert chunk.next_at < utcnow() + timedelta(seconds=10)


def test_a_scheduled_broadcast_starts_when_its_time_comes(corp: MakeCorp) -> None:
    company = corp(members=1, customers=1)
    broadcast = company.broadcast(state=BroadcastState.SCHEDULED, send_at=utcnow() + timedelta(hours=1))
    company.work()
    assert company.state(broadcast) == "scheduled"
    assert company.accepted() == []
    company.work_later(3601)
    assert company.state(broadcast) == "open"
    assert len(company.accepted()) == 1


def test_a_refused_task_that_is_retried_by_hand_takes_its_recipients_along(corp: MakeCorp) -> None:
    company = corp(members=2, customers=2)
    company.control.fault("errcode", api="externalcontact/add_msg_template", errcode=60020)
    broadcast = company.started()
    company.work()
    refused = next(chunk for chunk in company.chunks(broadcast) if chunk.msgid is None)
    assert sorted(row.state.value for row in company.targets(broadcast).values()) == (
        ["refused"] * 2 + ["submitted"] * 2
    )
    with transaction():
        retry(refused.effect_id)
    company.work()
    assert {row.state for row in company.targets(broadcast).values()} == {TargetState.SUBMITTED}
    assert company.reached() == sorted(c.external_userid for c in company.customers)
    for chunk in company.chunks(broadcast):
        company.control.confirm_broadcast(chunk.msgid)
    company.work_later(301)
    assert company.state(broadcast) == "finished"
    assert {row.state for row in company.targets(broadcast).values()} == {TargetState.SENT}


def test_results_that_come_before_the_last_chunk_is_booked_do_not_keep_it_open(corp: MakeCorp) -> None:
    company = corp(members=2, customers=1)
    broadcast = company.started()
    jobs.freeze_audiences()
    jobs.submit_chunks()
    LANES[Queue.BROADCAST]()
    for chunk in company.chunks(broadcast):
        company.control.confirm_broadcast(chunk.msgid)
    jobs.poll_results()
    assert company.state(broadcast) == "submitting"
    assert all(chunk.closed_at for chunk in company.chunks(broadcast))
    company.work()
    assert company.state(broadcast) == "finished"


def test_a_task_of_an_app_that_is_gone_does_not_stop_the_reading_of_others(corp: MakeCorp) -> None:
    company = corp(members=2, customers=1)
    broadcast = company.started(text="spring")
    company.work()
    lost, other = company.chunks(broadcast)
    with transaction():
        session().execute(update(Effect).where(Effect.id == lost.effect_id).values(app="gone"))
    company.control.confirm_broadcast(other.msgid)
    company.work_later(301)
    lost, other = company.chunks(broadcast)
    assert other.closed_at
    assert not lost.closed_at
    assert "'gone'" in (lost.error or "")
