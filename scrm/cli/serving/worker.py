"""The worker loop around RQ: one queue, no fork, and no end because Redis is away for a while."""

from __future__ import annotations

import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import SimpleWorker, worker_registration
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus

from config.queues import Queue
from scrm.kernel import ending, jobs
from scrm.kernel.settings import settings

if TYPE_CHECKING:
    from flask import Flask

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 15  # longest wait in one pop, and so the longest silence of an idle worker
TTL_SECONDS = HEARTBEAT_SECONDS + 15  # RQ waits for work 15 s less than this
MAINTENANCE_SECONDS = (
    30  # RQ's 600 would leave a job of a killed worker in its intermediate list for 20 minutes
)
BACKOFF_SECONDS = (0.2, 0.5, 1, 2)  # while Redis is away; the last one repeats


class OneQueueWorker(SimpleWorker):
    """RQ's in-process worker, made to survive Redis going away and SIGTERM in the middle of a job.

    :param stopping: set when a person or the supervisor asked for the end
    """

    max_connection_wait_time = BACKOFF_SECONDS[-1]
    log_result_lifespan = False

    def __init__(self, *args: Any, stopping: threading.Event, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stopping = stopping

    def register_birth(self) -> None:
        """Register; an entry of this very process is from before Redis went away, so it is no other worker's."""
        self.connection.delete(self.key)
        super().register_birth()  # type: ignore[no-untyped-call]

    def request_stop(self, signum: int, frame: Any) -> None:
        """Finish the running job, then end. RQ's own would write to Redis here, and kill the job at a second signal."""
        self.stopping.set()
        self._stop_requested = True
        if self.get_state() != WorkerStatus.BUSY:
            super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def request_force_stop(self, signum: int, frame: Any) -> None:
        """A second signal changes nothing: a job ends within its own time, or by SIGKILL."""

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Say that this worker lives, and register it again: somebody may have emptied Redis."""
        super().heartbeat(timeout, pipeline)
        self.connection.hset(self.key, mapping=self.serialize())
        worker_registration.register(self)

    def subscribe(self) -> None:
        """Nobody sends this worker commands; RQ's listening thread would only be one more thing to reconnect."""


def work(app: Flask, queue: Queue) -> None:
    """Serve ``queue`` until SIGTERM or SIGINT; come back after every loss of Redis."""
    stopping = ending.asked
    with app.app_context():
        url = settings().redis_url.get_secret_value()
    tries = 0
    while not stopping.is_set():
        _on_signal(stopping)
        try:
            with app.app_context():
                jobs.forget_flags(queue)
            _worker(url, queue, stopping).work()
            tries = 0
        except RedisError as error:
            log.warning("Redis is away, trying again", error=type(error).__name__)
        if not stopping.wait(BACKOFF_SECONDS[min(tries, len(BACKOFF_SECONDS) - 1)]):
            tries += 1
    log.info("worker ended", queue=queue)


def worker_name(queue: Queue, pid: int) -> str:
    """What a worker process is called in Redis."""
    return f"{queue.value}-{socket.gethostname()}-{pid}"


def _worker(url: str, queue: Queue, stopping: threading.Event) -> OneQueueWorker:
    # A connection of its own: RQ lengthens the socket time-out of the one it gets.
    connection = Redis.from_url(url, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0))
    return OneQueueWorker(
        [queue.value],
        name=worker_name(queue, os.getpid()),
        connection=connection,
        serializer=JSONSerializer,
        worker_ttl=TTL_SECONDS,
        maintenance_interval=MAINTENANCE_SECONDS,
        log_job_description=False,
        stopping=stopping,
    )


def _on_signal(stopping: threading.Event) -> None:
    """Between two RQ workers the signals are ours."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
