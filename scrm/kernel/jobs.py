"""Jobs: wake-ups for work that rows describe.

A job carries ids only, re-reads its rows, does nothing when they are done, and works in batches. It is sent after the
commit. Waking is coalesced: as long as a wake-up for the same job and arguments waits in the queue, another adds
nothing; the flag is taken down *before* the job looks at its rows, so that a change during its run wakes it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from redis.exceptions import RedisError
from rq import Queue as RqQueue
from rq import get_current_job
from rq.serializers import JSONSerializer
from sqlalchemy import update

from config.queues import Queue
from config.schedule import SCHEDULE, Daily
from scrm.kernel import crashpoints, metrics
from scrm.kernel.clock import utcnow
from scrm.kernel.db import db, session, transaction
from scrm.kernel.models import ScheduleRun
from scrm.kernel.redis import redis

if TYPE_CHECKING:
    from flask import Flask

log = structlog.get_logger(__name__)

FLAG_SECONDS = 30  # a wake-up lost with Redis or a killed worker blocks its like at the most this long
WAITING_SECONDS = 24 * 3600  # how long it is known which wake-up was the last of its kind
TIMEOUT_SECONDS = 300
FAILURE_SECONDS = 24 * 3600
DAILY = frozenset(entry.job for entry in SCHEDULE if isinstance(entry, Daily))

Argument = int | str
JOBS: dict[str, Job] = {}
_app: list[Flask] = []


@dataclass(frozen=True)
class Job:
    """A function that workers run.

    :param name: dotted path of the function, its address in the queue
    :param queue: who serves it
    :param due: cheap question whether there is work; the clock asks it before waking
    """

    name: str
    queue: Queue
    func: Callable[..., None]
    due: Callable[[], bool] | None = None

    def wake(self, *args: Argument) -> None:
        """Ask for a run after the commit (at once when no transaction runs)."""
        info = session().info
        info.setdefault("jobs", {})[(self.name, args)] = None
        if not info.get("in_transaction"):
            push_pending()

    def __call__(self, *args: Argument) -> None:
        """Run here and now (tests and commands)."""
        self.func(*args)


def job(queue: Queue, *, due: Callable[[], bool] | None = None) -> Callable[[Callable[..., None]], Job]:
    """Make a function a job of ``queue``; its arguments must be ids (int or str)."""

    def register(func: Callable[..., None]) -> Job:
        made = Job(f"{func.__module__}.{func.__name__}", queue, func, due)
        JOBS[made.name] = made
        return made

    return register


def push_pending() -> None:
    """Send what the committed transaction wanted woken; a Redis that is away costs only promptness."""
    wanted = session().info.pop("jobs", {})
    for name, args in wanted:
        try:
            _push(JOBS[name], args)
        except RedisError as error:
            metrics.WAKE_LOST.inc()
            log.warning(
                "wake-up not sent, the clock will find the rows", job=name, error=type(error).__name__
            )


def drop() -> None:
    """Forget wake-ups of a transaction that was rolled back."""
    session().info.pop("jobs", None)


def _flag(name: str, args: tuple[Argument, ...]) -> str:
    return "scrm:wake:" + ":".join([name, *map(str, args)])


def _last(name: str, args: tuple[Argument, ...]) -> str:
    return "scrm:woken:" + ":".join([name, *map(str, args)])


def _push(wanted: Job, args: tuple[Argument, ...]) -> None:
    store = redis()
    if not store.set(_flag(wanted.name, args), 1, nx=True, ex=FLAG_SECONDS):
        return
    queue, last = RqQueue(wanted.queue, connection=store, serializer=JSONSerializer), _last(wanted.name, args)
    waiting: Any = store.get(last)
    if waiting and store.lpos(queue.key, waiting) is not None:
        return  # in a long queue it waits for longer than the flag stands; one more each time would fill it
    made = queue.enqueue_call(
        "scrm.kernel.jobs.perform",
        args=[wanted.name, *args],
        timeout=TIMEOUT_SECONDS,
        result_ttl=0,
        failure_ttl=FAILURE_SECONDS,
        description=wanted.name,
    )
    store.set(last, made.id, ex=WAITING_SECONDS)


def others_wait(queue: Queue) -> bool:
    """Whether another wake-up waits in ``queue`` behind the running job.

    Where work never stops coming, a job that works "until nothing is left" would keep the others of its queue from
    running: it asks here after each batch, and gives way by waking itself again and ending. Outside a worker (a command,
    a test) there is nobody to give way to.
    """
    if get_current_job() is None:
        return False
    try:
        return bool(RqQueue(queue, connection=redis(), serializer=JSONSerializer).count)
    except RedisError:
        return False


def forget_flags(queue: Queue) -> None:
    """Take down the wake-up flags of ``queue``: a worker killed just after its pop left one standing.

    A worker calls this when it starts, so that the clock can wake again at once, unless the wake-up still waits.
    """
    store = redis()
    names = {made.name for made in JOBS.values() if made.queue is queue}
    for flag in store.scan_iter(_flag("*", ()), count=1000):
        if flag.decode().split(":")[2] in names:
            store.delete(flag)


def bind(app: Flask) -> None:
    """Tell the worker process which app its jobs run in."""
    _app[:] = [app]


def _note_finished(name: str) -> None:
    """Remember that a daily job got to its end, and not of a turn only: the clock does not wake it again today."""
    if name in DAILY:
        at_its_end = (ScheduleRun.name == name, ScheduleRun.place == 0)
        with transaction():
            session().execute(update(ScheduleRun).where(*at_its_end).values(finished_at=utcnow()))


def perform(name: str, *args: Argument) -> None:
    """What RQ calls: app context, log fields, one clean session, metrics; errors go on to RQ after being logged."""
    with _app[0].app_context(), structlog.contextvars.bound_contextvars(job=name, job_args=list(args)):
        crashpoints.reached("job_popped")
        started = time.perf_counter()
        redis().delete(_flag(name, args))
        outcome = "failed"
        try:
            JOBS[name].func(*args)
            _note_finished(name)
            outcome = "done"
        except Exception:
            log.exception("job failed")
            raise
        finally:
            db.session.remove()
            metrics.JOB_SECONDS.labels(name, outcome).observe(time.perf_counter() - started)
