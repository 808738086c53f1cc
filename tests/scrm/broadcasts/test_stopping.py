"""Pause, resume, cancel and remind, against the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import update

from config.queues import Queue
from scrm.broadcasts import jobs
from scrm.broadcasts.models import BroadcastKind, TargetState
from scrm.broadcasts.queries import audience
from scrm.broadcasts.service.reminding import remind_senders
from scrm.broadcasts.service.settlement import TAKEN_BACK
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import transaction
from scrm.kernel.errors import Conflict
from scrm.kernel.permissions import Scope
from scrm.wecom.effects import retry
from scrm.wecom.jobs import LANES
from scrm.wecom.models import Effect, EffectState
from scrm.wecom.retrying import Selection, look, retry_all
from tests.scrm.broadcasts.conftest import CANCELS, REMINDERS, Corp

MakeCorp = Callable[..., Corp]
SEND = LANES[Queue.BROADCAST]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(audience.CHUNK_SIZE, BroadcastKind.CUSTOMERS, 1)


def test_a_pause_stops_further_chunks_and_resume_sends_each_of_them_once(
    corp: MakeCorp, small_chunks: None
) -> None:
    company = corp(members=1, customers=12)
    broadcast = company.started()
    jobs.freeze_audiences()
    jobs.submit_chunks()
    SEND()  # the first few are at WeCom
    sent = len(company.accepted())
    assert 0 < sent < 12
    company.change("pause", broadcast)
    company.work()
    assert len(company.accepted()) == sent
    assert company.state(broadcast) == "paused"
    company.change("resume", broadcast)
    company.work()
    assert company.state(broadcast) == "open"
    assert company.reached() == sorted(c.external_userid for c in company.customers)


def test_a_pause_takes_back_calls_that_have_not_left(corp: MakeCorp, small_chunks: None) -> None:
    company = corp(members=1, customers=5)
    broadcast = company.started()
    jobs.freeze_audiences()
    jobs.submit_chunks()  # planned, not sent
    company.change("pause", broadcast)
    company.work()
    assert company.accepted() == []
    assert all(chunk.effect_id is None for chunk in company.chunks(broadcast))
    company.change("resume", broadcast)
    company.work()
    assert company.reached() == sorted(c.external_userid for c in company.customers)
    assert {chunk.submission for chunk in company.chunks(broadcast)} == {1, 2}


def test_a_cancel_before_the_first_call_sends_nothing(corp: MakeCorp) -> None:
    company = corp(members=2, customers=2)
    broadcast = company.started()
    jobs.freeze_audiences()
    jobs.submit_chunks()
    company.change("cancel", broadcast)
    company.work()
    assert company.accepted() == []
    assert company.state(broadcast) == "cancelled"
    assert broadcast.finished_at is not None
    assert {row.state for row in company.targets(broadcast).values()} == {TargetState.NOT_SENT}


def test_a_cancel_stops_every_task_at_wecom(corp: MakeCorp) -> None:
    company = corp(members=3, customers=2)
    broadcast = company.started()
    company.work()
    msgids = {chunk.msgid for chunk in company.chunks(broadcast)}
    company.change("cancel", broadcast)
    company.work()
    assert {body["msgid"] for body in company.accepted(CANCELS)} == msgids
    assert len(company.accepted(CANCELS)) == 3
    company.work_later(301)
    assert company.state(broadcast) == "cancelled"
    assert broadcast.finished_at is not None
    rows = company.targets(broadcast).values()
    assert {(row.state, row.reason) for row in rows} == {(TargetState.NOT_SENT, "cancelled")}


def test_a_cancel_stops_waiting_chunks_and_those_in_flight(corp: MakeCorp, small_chunks: None) -> None:
    company = corp(members=1, customers=12)
    broadcast = company.started()
    jobs.freeze_audiences()
    jobs.submit_chunks()
    SEND()
    jobs.submit_chunks()  # some are planned again, the rest waits
    sent = len(company.accepted())
    company.change("cancel", broadcast)
    company.work()
    assert len(company.accepted()) == sent < 12
    assert len(company.accepted(CANCELS)) == sent
    company.work_later(301)
    assert broadcast_is_final(company, broadcast)


def broadcast_is_final(company: Corp, broadcast: object) -> bool:
    company.state(broadcast)
    closed = all(chunk.closed_at for chunk in company.chunks(broadcast))
    return closed and broadcast.finished_at is not None


def test_what_members_sent_before_the_cancel_is_still_read(corp: MakeCorp) -> None:
    company = corp(members=2, customers=2)
    broadcast = company.started()
    company.work()
    quick, slow = company.chunks(broadcast)
    company.control.confirm_broadcast(quick.msgid)
    company.change("cancel", broadcast)
    company.work()
    assert [body["msgid"] for body in company.accepted(CANCELS)] == [slow.msgid]  # the other is done
    company.work_later(301)
    states = {row.chunk_id: row.state for row in company.targets(broadcast).values()}
    assert states == {quick.id: TargetState.SENT, slow.id: TargetState.NOT_SENT}
    assert broadcast_is_final(company, broadcast)


def test_a_cancel_while_the_task_is_being_dispatched_is_repeated(corp: MakeCorp) -> None:
    company = corp(members=1, customers=1)
    company.control.set_limits(mass_send_dispatch_seconds=5)
    broadcast = company.started()
    company.work()
    company.change("cancel", broadcast)
    company.work()
    assert company.accepted(CANCELS) == []
    company.work_later(6)
    assert len(company.accepted(CANCELS)) == 1


def test_a_call_under_way_during_the_cancel_is_stopped_when_its_answer_comes(corp: MakeCorp) -> None:
    company = corp(members=1, customers=1)
    broadcast = company.started()
    jobs.freeze_audiences()
    jobs.submit_chunks()
    company.control.fault(
        "truncate", api="externalcontact/add_msg_template"
    )  # carried out, no readable answer
    SEND()
    company.change("cancel", broadcast)
    company.work()
    company.work_later(70)  # the ledger asks WeCom what became of it
    assert len(company.accepted()) == 1
    assert [body["msgid"] for body in company.accepted(CANCELS)] == [company.chunks(broadcast)[0].msgid]


def test_a_refused_chunk_of_a_cancelled_broadcast_is_never_sent_again(corp: MakeCorp) -> None:
    company = corp(members=2, customers=2)
    company.control.fault("errcode", api="externalcontact/add_msg_template", errcode=41064)
    broadcast = company.started()
    company.work()
    [refused] = [chunk for chunk in company.chunks(broadcast) if chunk.error]
    sent = len(company.accepted())
    company.change("cancel", broadcast)
    with pytest.raises(Conflict, match="deadline"), transaction():
        retry(refused.effect_id)
    with transaction():
        everything = Selection(kind="broadcast")
        assert (retry_all(everything).ids, look(everything).too_late) == ([], 1)
    company.work_later(301)
    assert len(company.accepted()) == sent
    assert company.targets(broadcast)


def test_one_that_is_refused_after_the_cancel_is_not_sent_again_either(corp: MakeCorp) -> None:
    company = corp(members=1, customers=1)
    broadcast = company.started()
    jobs.freeze_audiences()
    jobs.submit_chunks()
    [chunk] = company.chunks(broadcast)
    with under_way(chunk.effect_id, EffectState.SENT, EffectState.FAILED):
        company.change("cancel", broadcast)
    with pytest.raises(Conflict, match="deadline"), transaction():
        retry(chunk.effect_id)


def test_a_call_that_failed_for_a_moment_during_the_cancel_is_not_repeated(corp: MakeCorp) -> None:
    company = corp(members=1, customers=1)
    broadcast = company.started()
    jobs.freeze_audiences()
    jobs.submit_chunks()
    [chunk] = company.chunks(broadcast)
    with under_way(chunk.effect_id, EffectState.SENT, EffectState.PLANNED):
        company.change("cancel", broadcast)
    company.work_later(301)
    assert company.accepted() == []
    assert {(row.state, row.reason) for row in company.targets(broadcast).values()} == {
        (TargetState.NOT_SENT, TAKEN_BACK)
    }
    assert broadcast_is_final(company, broadcast)


@contextmanager
def under_way(effect_id: int, during: EffectState, after: EffectState) -> Iterator[None]:
    """A worker holds the effect meanwhile."""
    with transaction() as session:
        session.execute(
            update(Effect)
            .filter_by(id=effect_id)
            .values(lease_until=utcnow() + timedelta(minutes=1), state=during)
        )
    yield
    with transaction() as session:
        session.execute(update(Effect).filter_by(id=effect_id).values(lease_until=None, state=after))


def test_a_task_cancelled_in_wecoms_console_ends_as_not_sent(corp: MakeCorp) -> None:
    company = corp(members=1, customers=1)
    broadcast = company.started()
    company.work()
    company.control.fault("errcode", api="externalcontact/get_groupmsg_task", errcode=41093)
    company.work_later(301)
    assert company.state(broadcast) == "finished"
    [row] = company.targets(broadcast).values()
    assert (row.state, row.reason) == (TargetState.NOT_SENT, "cancelled")


def test_an_open_broadcast_cannot_be_paused(corp: MakeCorp) -> None:
    company = corp(members=1, customers=1)
    broadcast = company.started()
    company.work()
    with pytest.raises(Conflict, match="is open; to pause it must be one of: planning, submitting"):
        company.change("pause", broadcast)


def test_three_reminders_a_day_and_only_to_those_who_have_not_confirmed(corp: MakeCorp) -> None:
    company = corp(members=2, customers=1)
    broadcast = company.started()
    company.work()
    quick, slow = company.chunks(broadcast)
    company.control.confirm_broadcast(quick.msgid)
    company.work_later(301)
    for count in (1, 2, 3):
        assert remind(broadcast.id) == (1, 0)
        company.work()
        assert [body["msgid"] for body in company.accepted(REMINDERS)] == [slow.msgid] * count
    with pytest.raises(Conflict, match="3 reminders per task in 24 hours"):
        remind(broadcast.id)
    with shifted(timedelta(hours=24, seconds=1)):
        assert remind(broadcast.id) == (1, 0)


def remind(broadcast_id: int) -> tuple[int, int]:
    with transaction():
        done = remind_senders(broadcast_id, Scope.all())
    return done.reminded, done.at_limit
