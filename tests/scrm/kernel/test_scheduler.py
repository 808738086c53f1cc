"""The clock: asks, wakes, leads alone, and survives its stores."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from redis import Redis
from rq import Queue as RqQueue
from rq.serializers import JSONSerializer
from sqlalchemy import text
from sqlalchemy.orm import Session

from config.queues import Queue
from config.schedule import Daily, Every
from scrm.kernel import jobs
from scrm.kernel.beats import who
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import db, transaction
from scrm.kernel.jobs import JOBS, Job
from scrm.kernel.locks import leader
from scrm.kernel.models import ScheduleRun
from scrm.kernel.scheduler import DAILY_AGAIN, LOCK, Scheduler, latest_moment
from scrm.kernel.turns import keep_place, place_of

SHANGHAI = ZoneInfo("Asia/Shanghai")


@dataclass
class Work:
    """A job whose question and runs the test sees."""

    has_work: bool = True
    asked: int = 0
    ran: list[str] = field(default_factory=list)

    def question(self) -> bool:
        self.asked += 1
        return self.has_work


@pytest.fixture
def made() -> Iterator[dict[str, Work]]:
    """Three jobs: ``a`` and ``b`` with questions, ``broken`` whose question raises."""
    works = {"a": Work(), "b": Work(), "broken": Work()}

    def broken() -> bool:
        works["broken"].asked += 1
        raise LookupError("a package's mistake")

    JOBS["t.a"] = Job("t.a", Queue.EVENTS, lambda: works["a"].ran.append("a"), works["a"].question)
    JOBS["t.b"] = Job("t.b", Queue.URGENT, lambda: works["b"].ran.append("b"))
    JOBS["t.broken"] = Job("t.broken", Queue.EVENTS, lambda: None, broken)
    yield works
    for name in ("t.a", "t.b", "t.broken"):
        del JOBS[name]


def woken(redis: Redis) -> list[str]:
    """Names of the jobs that wait in any queue, in order of the queues."""
    found = []
    for name in Queue:
        queue = RqQueue(name, connection=redis, serializer=JSONSerializer)
        found += [job.args[0] for job in queue.get_jobs()]
        queue.empty()
    for flag in redis.scan_iter("scrm:wake:*"):
        redis.delete(flag)
    return found


def test_a_job_is_woken_only_when_its_question_says_so(
    app: Flask, committed: Session, redis: Redis, made: dict[str, Work]
) -> None:
    scheduler = Scheduler(app, [Every("t.a", 0)])
    made["a"].has_work = False
    scheduler.tick()
    assert (made["a"].asked, woken(redis)) == (1, [])
    made["a"].has_work = True
    scheduler.tick()
    assert woken(redis) == ["t.a"]


def test_a_question_is_asked_every_so_many_seconds(
    app: Flask, committed: Session, made: dict[str, Work]
) -> None:
    scheduler = Scheduler(app, [Every("t.a", 3600)])
    scheduler.tick()
    scheduler.tick()
    assert made["a"].asked == 1


def test_a_failing_question_does_not_stop_the_others(
    app: Flask, committed: Session, redis: Redis, made: dict[str, Work]
) -> None:
    Scheduler(app, [Every("t.broken", 0), Every("t.a", 0), Every("t.b", 0)]).tick()
    assert made["broken"].asked == 1
    assert sorted(woken(redis)) == ["t.a", "t.b"]


def test_a_question_that_breaks_its_transaction_does_not_stop_the_others(
    app: Flask, committed: Session, redis: Redis, made: dict[str, Work]
) -> None:
    def bad_sql() -> bool:
        db.session.execute(text("SELECT * FROM no_such_table"))
        return True

    JOBS["t.broken"] = Job("t.broken", Queue.EVENTS, lambda: None, bad_sql)
    Scheduler(app, [Every("t.broken", 0), Every("t.a", 0)]).tick()
    assert woken(redis) == ["t.a"]


def test_a_question_that_hangs_is_given_up(
    app: Flask, committed: Session, redis: Redis, made: dict[str, Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scrm.kernel.scheduler.QUESTION_LIMIT", "SET LOCAL statement_timeout = '200ms'")

    def slow() -> bool:
        db.session.execute(text("SELECT pg_sleep(30)"))
        return True

    JOBS["t.broken"] = Job("t.broken", Queue.EVENTS, lambda: None, slow)
    started = utcnow()
    Scheduler(app, [Every("t.broken", 0), Every("t.a", 0)]).tick()
    assert utcnow() - started < timedelta(seconds=20)
    assert woken(redis) == ["t.a"]


def test_the_clock_says_that_it_lives(app: Flask, committed: Session) -> None:
    Scheduler(app, []).tick()
    assert who("clock") is not None


@pytest.mark.parametrize(
    ("now", "moment"),
    [
        ("2026-11-21T19:30:00+00:00", "2026-11-22T03:00:00+08:00"),  # 03:30 in Shanghai
        ("2026-11-21T18:59:59+00:00", "2026-11-21T03:00:00+08:00"),  # one second before
        ("2026-11-21T19:00:00+00:00", "2026-11-22T03:00:00+08:00"),  # on the dot
        ("2026-12-31T16:30:00+00:00", "2026-12-31T03:00:00+08:00"),  # 00:30 on New Year's day over there
    ],
)
def test_the_daily_moment_is_read_in_the_corps_zone(now: str, moment: str) -> None:
    found = latest_moment("03:00", SHANGHAI, datetime.fromisoformat(now))
    assert found == datetime.fromisoformat(moment)


def run_of(session: Session) -> ScheduleRun | None:
    session.expire_all()
    return session.get(ScheduleRun, "t.b")


def note(session: Session, woken_at: datetime, finished_at: datetime | None) -> None:
    session.merge(ScheduleRun(name="t.b", woken_at=woken_at, finished_at=finished_at))
    session.commit()


def test_a_daily_job_is_woken_once_a_day(
    app: Flask, committed: Session, redis: Redis, made: dict[str, Work]
) -> None:
    def tick() -> list[str]:
        Scheduler(app, [Daily("t.b", "03:00")]).tick()
        return woken(redis)

    assert tick() == ["t.b"]
    run = run_of(committed)
    assert run is not None
    note(committed, run.woken_at, run.woken_at + timedelta(seconds=1))
    assert tick() == []
    with shifted(timedelta(days=1)):
        assert tick() == ["t.b"]
        assert tick() == []


def test_days_on_which_no_clock_ran_are_caught_up_once(
    app: Flask, committed: Session, redis: Redis, made: dict[str, Work]
) -> None:
    long_ago = utcnow() - timedelta(days=9)
    note(committed, long_ago, long_ago + timedelta(seconds=5))
    for _ in range(3):
        Scheduler(app, [Daily("t.b", "03:00")]).tick()
    assert woken(redis) == ["t.b"]


def test_a_daily_job_that_never_finished_is_woken_again_after_a_while(
    app: Flask, committed: Session, redis: Redis, made: dict[str, Work]
) -> None:
    Scheduler(app, [Daily("t.b", "03:00")]).tick()
    woken(redis)
    redis.flushdb()  # the wake-up is gone
    with shifted(DAILY_AGAIN - timedelta(minutes=1)):
        Scheduler(app, [Daily("t.b", "03:00")]).tick()
        before = woken(redis)
    with shifted(DAILY_AGAIN + timedelta(minutes=1)):
        Scheduler(app, [Daily("t.b", "03:00")]).tick()
        assert woken(redis) == ["t.b"]
    # The zone's 03:00 may lie between the two ticks; then the first one was due by itself.
    assert before in ([], ["t.b"])


def test_a_finished_daily_job_is_noted_by_the_worker(
    app: Flask, committed: Session, made: dict[str, Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "DAILY", frozenset({"t.b"}))
    note(committed, datetime(2026, 1, 1, tzinfo=UTC), None)
    jobs.perform("t.b")
    run = run_of(committed)
    assert run is not None
    assert run.finished_at is not None


def test_a_turn_of_a_daily_job_is_no_finished_day(
    app: Flask, committed: Session, redis: Redis, made: dict[str, Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "DAILY", frozenset({"t.b"}))
    Scheduler(app, [Daily("t.b", "03:00")]).tick()
    for place, finished in ((7, False), (0, True)):
        with transaction():
            keep_place(JOBS["t.b"], place)
        assert place_of(JOBS["t.b"]) == place
        jobs.perform("t.b")
        run = run_of(committed)
        assert run is not None
        assert (run.finished_at is not None) is finished


def test_while_redis_is_away_a_daily_job_does_not_count_as_woken(
    app: Flask, committed: Session, made: dict[str, Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = Redis.from_url("unix:///nowhere.sock")
    monkeypatch.setitem(app.extensions, "scrm_redis", nobody)
    Scheduler(app, [Daily("t.b", "03:00"), Every("t.a", 0)]).tick()
    assert run_of(committed) is None


class Running:
    """A scheduler in a thread."""

    def __init__(self, app: Flask, *names: str) -> None:
        self.stop = threading.Event()
        scheduler = Scheduler(app, [Every(name, 0) for name in names])
        self.thread = threading.Thread(target=scheduler.run, args=[self.stop])
        self.thread.start()

    def end(self) -> None:
        self.stop.set()
        self.thread.join(60)
        assert not self.thread.is_alive()


def wait_for(question: Callable[[], bool], seconds: float = 60) -> None:
    until = utcnow() + timedelta(seconds=seconds)
    while not question():
        assert utcnow() < until, "did not happen"
        threading.Event().wait(0.02)


def test_only_one_clock_leads_and_another_takes_over(
    app: Flask, committed: Session, made: dict[str, Work]
) -> None:
    with leader(LOCK) as held:
        assert held is not None
        second = Running(app, "t.a")
        threading.Event().wait(0.5)
        assert made["a"].asked == 0
    try:
        wait_for(lambda: made["a"].asked > 0)
    finally:
        second.end()


def test_a_clock_that_loses_its_connection_loses_the_lead_and_gets_it_again(
    app: Flask, committed: Session, made: dict[str, Work]
) -> None:
    running = Running(app, "t.a")
    try:
        wait_for(lambda: made["a"].asked > 0)
        committed.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                 " AND datname = current_database()")
        )  # fmt: skip
        committed.rollback()
        asked = made["a"].asked
        wait_for(lambda: made["a"].asked > asked + 3)
    finally:
        running.end()


def test_a_clock_that_ends_gives_up_the_lead(app: Flask, committed: Session, made: dict[str, Work]) -> None:
    running = Running(app, "t.a")
    wait_for(lambda: made["a"].asked > 0)
    running.end()
    with leader(LOCK) as held:
        assert held is not None


def test_leading_makes_the_missing_partitions(app: Flask, committed: Session, made: dict[str, Work]) -> None:
    name = f"messages_{utcnow():%Y_%m}"
    committed.execute(text(f"DROP TABLE {name}"))
    committed.commit()
    running = Running(app)

    def is_there() -> bool:
        committed.rollback()  # within one transaction the name would be remembered as unknown
        return committed.scalar(text("SELECT to_regclass(:name)"), {"name": name}) is not None

    try:
        wait_for(is_there)
    finally:
        running.end()
