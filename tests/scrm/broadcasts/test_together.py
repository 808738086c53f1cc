"""Several workers at once: every broadcast starts once, every recipient is named to WeCom once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from config.queues import Queue
from scrm.broadcasts import jobs
from scrm.broadcasts.models import Broadcast, BroadcastKind, BroadcastState, TargetState
from scrm.broadcasts.queries import audience
from scrm.broadcasts.service.pages import Page, claimed_chunks, result_page, task_page
from scrm.broadcasts.service.results import record_pages
from scrm.broadcasts.service.states import FORWARD, move, start_due_broadcasts
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import transaction
from scrm.kernel.jobs import Job
from scrm.portraits.models import TimelineEntry
from scrm.wecom.jobs import LANES
from tests.scrm.broadcasts.conftest import Corp
from tests.scrm.broadcasts.population import make_broadcast

MakeCorp = Callable[..., Corp]
WORKERS = 4


def at_once(app: Flask, work: Callable[[], object]) -> list[object]:
    """The same work in several threads that begin together."""
    gate = Barrier(WORKERS)

    def one(_: int) -> object:
        with app.app_context():
            gate.wait(60)
            return work()

    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(one, range(WORKERS)))


def test_due_broadcasts_are_started_exactly_once(app: Flask, committed: Session) -> None:
    due = utcnow() - timedelta(seconds=1)
    made = [make_broadcast(committed, state=BroadcastState.SCHEDULED, send_at=due).id for _ in range(20)]
    committed.commit()

    def start() -> list[int]:
        with transaction():
            return start_due_broadcasts()

    started = at_once(app, start)
    assert sorted(i for ids in started for i in ids) == made


def test_everything_happens_once_with_several_workers(
    app: Flask, corp: MakeCorp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(audience.CHUNK_SIZE, BroadcastKind.CUSTOMERS, 4)
    company = corp(members=3, customers=10)
    broadcast = company.started()
    at_once(app, jobs.freeze_audiences)
    while company.state(broadcast) != "open":
        at_once(app, jobs.submit_chunks)
        LANES[
            Queue.BROADCAST
        ]()  # a process carries out a lane once at a time; the ledger's own tests use several
    assert company.state(broadcast) == "open"
    assert company.reached() == sorted(c.external_userid for c in company.customers)
    for chunk in company.chunks(broadcast):
        company.control.confirm_broadcast(chunk.msgid)
    company.control.advance_clock(301)
    with shifted(timedelta(seconds=301)):
        at_once(app, jobs.poll_results)
    assert company.state(broadcast) == "finished"
    assert {row.state for row in company.targets(broadcast).values()} == {TargetState.SENT}


def test_who_received_it_finds_it_once_on_the_timeline(corp: MakeCorp, committed: Session) -> None:
    company = corp(members=1, customers=3)
    broadcast = company.started()
    company.work()
    company.control.confirm_broadcast(company.chunks(broadcast)[0].msgid)
    for hours in (1, 2, 3):
        company.work_later(hours * 3600)
    entries = committed.scalars(select(TimelineEntry)).all()
    assert sorted(entry.customer_id for entry in entries) == sorted(c.id for c in company.customers)
    assert {(e.kind, e.details["broadcast_id"], e.staff_id) for e in entries} == {
        ("broadcast.sent", broadcast.id, company.staff[0].id)
    }
    sent = {row.customer_id: row.sent_at for row in company.targets(broadcast).values()}
    assert {entry.customer_id: entry.at for entry in entries} == sent


def test_states_only_move_forward(session: Session) -> None:
    for state, following in FORWARD.items():
        for target in BroadcastState:
            broadcast = make_broadcast(session, state=state)
            moved = move([broadcast.id], target)
            assert bool(moved) is (target in following), f"{state} → {target}"


def test_no_state_leads_back_to_an_unsent_one(session: Session) -> None:
    under_way = [s for s in BroadcastState if s not in (BroadcastState.DRAFT, BroadcastState.SCHEDULED)]
    assert not any({BroadcastState.DRAFT, BroadcastState.SCHEDULED} & FORWARD[state] for state in under_way)
    assert session.scalar(select(func.count()).select_from(Broadcast)) == 0


def test_each_job_is_due_only_when_there_is_work(corp: MakeCorp) -> None:
    company = corp(members=1, customers=1)
    asked: list[Job] = [
        jobs.start_broadcasts,
        jobs.freeze_audiences,
        jobs.submit_chunks,
        jobs.stop_tasks,
        jobs.poll_results,
    ]
    assert not any(job.due() for job in asked if job.due)
    broadcast = company.started()
    assert [job.due() for job in asked if job.due] == [False, True, False, False, False]
    jobs.freeze_audiences()
    assert [job.due() for job in asked if job.due] == [False, False, True, False, False]
    jobs.submit_chunks()
    assert not any(job.due() for job in asked if job.due)  # WeCom's answer is waited for
    LANES[Queue.BROADCAST]()
    assert [job.due() for job in asked if job.due] == [False, False, True, False, True]
    company.change("cancel", broadcast)
    assert [job.due() for job in asked if job.due] == [False, False, False, True, False]


def test_whoever_lost_the_lease_writes_nothing(corp: MakeCorp) -> None:
    company = corp(members=1, customers=2)
    broadcast = company.started()
    jobs.freeze_audiences()
    jobs.submit_chunks()
    LANES[Queue.BROADCAST]()
    name = company.customers[0].external_userid
    with transaction():
        [held] = claimed_chunks(chunk.id for chunk in company.chunks(broadcast))
        page = Page(status=2, recipients=[(name, TargetState.SENT, utcnow())])
        record_pages([(held, page)], uuid4())
    assert {row.state for row in company.targets(broadcast).values()} == {TargetState.SUBMITTED}
    assert company.chunks(broadcast)[0].sender_status is None


def test_a_late_or_repeated_answer_never_moves_a_recipient_back(corp: MakeCorp) -> None:
    company = corp(members=1, customers=1)
    broadcast = company.started()
    company.work()
    name = company.customers[0].external_userid
    sent_at = utcnow().replace(microsecond=0)
    for state, expected in (
        (TargetState.SENT, TargetState.SENT),
        (TargetState.CAPPED, TargetState.SENT),
        (TargetState.NOT_FRIEND, TargetState.SENT),
    ):
        with transaction():
            [chunk] = company.chunks(broadcast)
            chunk.lease_token = uuid4()
            page = Page(recipients=[(name, state, sent_at)])
            record_pages([(claimed_chunks([chunk.id])[0], page)], chunk.lease_token)
        assert company.targets(broadcast)[name].state is expected
        assert company.targets(broadcast)[name].sent_at == sent_at


def test_odd_answers_of_wecom_are_read_without_failing() -> None:
    assert task_page({}, "a") is None
    assert task_page({"task_list": [{"userid": "B"}, {"status": 2}]}, "a") is None
    assert task_page({"task_list": [{"userid": "A", "status": 2, "send_time": 1}]}, "a").cursor == ""
    odd = {"send_list": [{}, {"external_userid": "x"}, {"external_userid": "y", "status": 9}, {"status": 1}]}
    assert result_page(odd) == Page()
