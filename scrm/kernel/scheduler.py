"""The clock: one process of the deployment leads and turns due rows into jobs; the others wait to take over.

It decides nothing about the work itself. It asks each job's ``due()`` question and wakes the job; whatever is lost
with Redis, a killed worker or a killed clock is found again here, because the rows still say that work is due.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from datetime import time as wall_time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import structlog
from redis.exceptions import RedisError
from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from config.schedule import Daily, Every
from scrm.kernel import beats
from scrm.kernel.apart import Apart
from scrm.kernel.clock import in_zone, utcnow
from scrm.kernel.db import db, session, transaction
from scrm.kernel.jobs import JOBS
from scrm.kernel.locks import leader
from scrm.kernel.models import ScheduleRun
from scrm.kernel.partitions import ensure_partitions
from scrm.kernel.redis import redis
from scrm.kernel.settings import settings

if TYPE_CHECKING:
    from threading import Event

    from flask import Flask

log = structlog.get_logger(__name__)

LOCK = "clock"
RETRY_SECONDS = 1.0  # how long a clock that does not lead waits before it asks again
# A due() question that takes longer is given up: it must not stop the others.
QUESTION_LIMIT = "SET LOCAL statement_timeout = '5s'"
DAILY_AGAIN = timedelta(minutes=15)  # an unfinished daily job is woken again after this
PARTITIONS_SECONDS = 24 * 3600.0


def latest_moment(at: str, zone: ZoneInfo, now: datetime) -> datetime:
    """The last time before ``now`` at which clocks in ``zone`` showed ``at`` (HH:MM); aware, UTC or zone."""
    local = in_zone(now, zone)
    today = datetime.combine(local.date(), wall_time.fromisoformat(at), tzinfo=zone)
    if today <= local:
        return today
    return datetime.combine(local.date() - timedelta(days=1), wall_time.fromisoformat(at), tzinfo=zone)


def _daily_is_due(entry: Daily) -> bool:
    """Not woken since its last moment, or woken long ago and never finished (Redis was emptied, or the job failed)."""
    now = utcnow()
    run = session().get(ScheduleRun, entry.job, populate_existing=True)
    if run is None or run.woken_at < latest_moment(entry.at, settings().corp.zone, now):
        return True
    finished = run.finished_at is not None and run.finished_at >= run.woken_at
    return not finished and run.woken_at < now - DAILY_AGAIN


@dataclass
class Scheduler:
    """The clock's loop.

    :param schedule: the lines of ``config/schedule.py``
    """

    app: Flask
    schedule: Iterable[Every | Daily]
    next_ask: dict[str, float] = field(default_factory=dict)  # job -> time.monotonic()
    next_partitions: float = 0.0

    def run(self, stop: Event) -> None:
        """Lead when nobody else does, until ``stop`` is set; survives the loss of either store."""
        while not stop.is_set():
            try:
                with self.app.app_context():
                    self._lead_or_wait(stop)
            except SQLAlchemyError as error:
                log.warning("PostgreSQL is away, trying again", error=type(error).__name__)
            stop.wait(RETRY_SECONDS)

    def _lead_or_wait(self, stop: Event) -> None:
        with leader(LOCK) as connection:
            if connection is None:
                return
            log.info("this clock leads")
            self.next_partitions = 0.0
            while not stop.is_set():
                started = time.monotonic()
                connection.execute(
                    text("SELECT 1")
                )  # raises when the connection, and with it the lock, is gone
                self.tick(connection)
                stop.wait(max(0.0, settings().clock.tick_seconds - (time.monotonic() - started)))
            log.info("this clock ends")

    def tick(self, connection: Connection | None = None) -> None:
        """Ask everything whose turn it is, once; what fails is logged and does not stop the others."""
        now = time.monotonic()
        for entry in self.schedule:
            if self.next_ask.get(entry.job, 0.0) <= now:
                self.next_ask[entry.job] = now + (
                    entry.seconds if isinstance(entry, Every) else RETRY_SECONDS
                )
                self._ask(entry)
        if connection is not None and self.next_partitions <= now:
            self.next_partitions = now + PARTITIONS_SECONDS
            self._make_partitions()
        beats.beat("clock")

    def _ask(self, entry: Every | Daily) -> None:
        with self.app.app_context():
            # Not even a database that is away ends the round: the connection that holds the lead finds that out.
            with Apart(passes=lambda _: False) as question:
                if isinstance(entry, Daily):
                    self._wake_daily(entry)
                elif self._is_due(entry):
                    JOBS[entry.job].wake()
            if question.error:
                log.error("due question failed", job=entry.job, exc_info=question.error)
            db.session.remove()

    def _is_due(self, entry: Every) -> bool:
        question = JOBS[entry.job].due
        if question is None:
            return True
        session().execute(text(QUESTION_LIMIT))
        return question()

    def _wake_daily(self, entry: Daily) -> None:
        if not _daily_is_due(entry):
            return
        try:
            redis().ping()  # a wake-up that Redis does not take must not count as today's run
        except RedisError:
            return
        with transaction():
            row = insert(ScheduleRun).values(name=entry.job, woken_at=utcnow())
            newer = {"woken_at": row.excluded.woken_at}
            session().execute(row.on_conflict_do_update(index_elements=["name"], set_=newer))
            JOBS[entry.job].wake()

    def _make_partitions(self) -> None:
        try:
            with db.engine.begin() as connection:
                made = ensure_partitions(connection)
        except SQLAlchemyError:
            log.exception("monthly partitions could not be made")
        else:
            log.info("monthly partitions are there", made=made)
