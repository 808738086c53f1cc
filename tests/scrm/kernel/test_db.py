"""The unit of work: one commit, events before it, wake-ups after it."""

from dataclasses import dataclass

import pytest
from sqlalchemy import select

from config.queues import Queue
from scrm.kernel import events, jobs
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.kernel.models import ScheduleRun


@dataclass(frozen=True)
class Happened:
    number: int


@pytest.fixture
def heard():
    seen = []
    events.subscribe(Happened)(seen.append)
    yield seen
    events._subscribers.pop(Happened)


@pytest.fixture
def probe():
    @jobs.job(Queue.EVENTS)
    def probe_job(*args): ...

    yield probe_job
    jobs.JOBS.pop(probe_job.name)


def waiting(redis):
    return redis.llen("rq:queue:events")


def test_events_reach_subscribers_in_one_list_before_the_commit(session, heard):
    with transaction():
        events.publish(Happened(1))
        events.publish(Happened(2))
    assert heard == [[Happened(1), Happened(2)]]


def test_a_rolled_back_transaction_tells_nobody_and_wakes_nothing(session, heard, probe, redis):
    def failing_work():
        with transaction() as current:
            current.add(ScheduleRun(name="x", woken_at=utcnow()))
            events.publish(Happened(1))
            probe.wake()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing_work()
    assert heard == []
    assert waiting(redis) == 0
    assert session.scalars(select(ScheduleRun)).all() == []


def test_wake_ups_leave_after_the_commit_and_once(session, probe, redis):
    with transaction():
        probe.wake(7)
        probe.wake(7)
        assert waiting(redis) == 0
    assert waiting(redis) == 1
    with transaction():
        probe.wake(7)
    assert waiting(redis) == 1


def lower_flags(redis):
    """What the end of :data:`jobs.FLAG_SECONDS` does."""
    for flag in redis.scan_iter("scrm:wake:*"):
        redis.delete(flag)


def test_a_wake_up_that_waits_longer_than_its_flag_stands_is_still_the_only_one(session, probe, redis):
    for _ in range(3):
        probe.wake(7)
        lower_flags(redis)
    probe.wake(8)
    assert waiting(redis) == 2


def test_a_worker_that_starts_leaves_one_wake_up_of_each_kind(session, probe, redis):
    probe.wake()
    jobs.forget_flags(Queue.EVENTS)
    probe.wake()
    assert waiting(redis) == 1


def test_a_wake_up_that_a_worker_took_and_lost_is_sent_again(session, probe, redis):
    probe.wake()
    redis.delete("rq:queue:events")  # a worker took it, and was killed
    lower_flags(redis)
    probe.wake()
    assert waiting(redis) == 1


def test_a_wake_up_during_the_run_is_not_swallowed(session, probe, redis):
    probe.wake()
    redis.delete("rq:queue:events")  # a worker took it
    jobs.perform(probe.name)
    probe.wake()
    assert waiting(redis) == 1
