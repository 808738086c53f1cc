"""`scrm worker`, `scrm clock` and `scrm web` on a real deployment whose stores come and go."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue as RqQueue
from rq.serializers import JSONSerializer

from config.queues import Queue
from scrm.cli.serving.worker import worker_name
from scrm.kernel.beats import PREFIX
from tests.stack import Stack, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(180)]
WORKER = "worker:events"


@pytest.fixture(scope="module")
def deployment() -> Iterator[Stack]:
    with Stack([WORKER, "clock"], environment={"SCRM_LOG__LEVEL": "INFO"}) as stack:
        wait_until(lambda: registered(stack), 60, lambda: stack.log(WORKER).read_text())
        yield stack


@pytest.fixture
def stack(deployment: Stack) -> Stack:
    if not deployment.alive(WORKER):
        deployment.start(WORKER)
        wait_until(lambda: registered(deployment), 60)
    return deployment


def registered(stack: Stack) -> bool:
    try:
        return bool(stack.redis().exists(f"rq:worker:{worker_name(Queue.EVENTS, stack.pid(WORKER))}"))
    except RedisError:
        return False


def send(stack: Stack, function: str, *arguments: Any) -> None:
    """Put any importable function into the worker's queue."""
    queue = RqQueue("events", connection=stack.redis(), serializer=JSONSerializer)
    queue.enqueue(function, *arguments, result_ttl=0)


def made(stack: Stack, name: str, seconds: float = 20) -> None:
    """Wait until the worker has made a folder: a job whose effect can be seen."""
    path = stack.folder / name
    send(stack, "os.mkdir", str(path))
    wait_until(path.is_dir, seconds, lambda: stack.log(WORKER).read_text()[-3000:])


def test_a_worker_finishes_its_job_on_sigterm(stack: Stack) -> None:
    started, done = stack.folder / "started", stack.folder / "done"
    send(stack, "subprocess.check_call", ["sh", "-c", f"touch {started}; sleep 2; touch {done}"])
    wait_until(started.exists, 60)
    assert stack.terminate(WORKER) == 0
    assert done.exists()


def test_a_job_can_see_that_its_worker_was_asked_to_end(stack: Stack) -> None:
    send(stack, "scrm.kernel.ending.asked.wait", 60)
    queue = RqQueue("events", connection=stack.redis(), serializer=JSONSerializer)
    wait_until(lambda: queue.started_job_registry.get_job_ids() != [], 60)
    began = time.monotonic()
    stack.terminate(WORKER)
    assert time.monotonic() - began < 40


def test_a_second_sigterm_does_not_cut_the_job(stack: Stack) -> None:
    started, done = stack.folder / "started2", stack.folder / "done2"
    send(stack, "subprocess.check_call", ["sh", "-c", f"touch {started}; sleep 3; touch {done}"])
    wait_until(started.exists, 60)
    pid, at_end = stack.pid(WORKER), []

    def end() -> None:
        stack.terminate(WORKER)
        at_end.append(done.exists())

    ending = threading.Thread(target=end)
    ending.start()
    time.sleep(1.2)
    os.kill(pid, signal.SIGTERM)
    ending.join(60)
    assert at_end == [True]


def test_a_worker_survives_redis_being_away_and_emptied(stack: Stack) -> None:
    made(stack, "before")
    pid = stack.pid(WORKER)
    stack.stop_store("valkey")
    time.sleep(3)
    assert stack.alive(WORKER)
    stack.start_store("valkey")
    made(stack, "after-restart")
    stack.redis().flushall()
    wait_until(lambda: registered(stack), 60)
    made(stack, "after-flush")
    assert (stack.alive(WORKER), stack.pid(WORKER)) == (True, pid)


def test_a_worker_survives_redis_going_away_during_a_job(stack: Stack) -> None:
    pid, started = stack.pid(WORKER), stack.folder / "started3"
    send(stack, "subprocess.check_call", ["sh", "-c", f"touch {started}; sleep 2"])
    wait_until(started.exists, 60)
    stack.stop_store("valkey")
    time.sleep(3)
    stack.start_store("valkey")
    made(stack, "after-loss-in-job", 40)
    assert (stack.alive(WORKER), stack.pid(WORKER)) == (True, pid)


def test_an_idle_worker_ends_at_once_also_while_redis_is_away(stack: Stack) -> None:
    stack.stop_store("valkey")
    time.sleep(1)
    begun = time.monotonic()
    assert stack.terminate(WORKER) == 0
    assert time.monotonic() - begun < 15
    stack.start_store("valkey")


def test_worker_and_clock_survive_postgresql_being_restarted(stack: Stack) -> None:
    pids = [stack.pid(WORKER), stack.pid("clock")]
    stack.stop_store("postgres")
    time.sleep(2)
    stack.start_store("postgres")
    stack.redis().delete(f"{PREFIX}clock")
    wait_until(lambda: bool(stack.redis().exists(f"{PREFIX}clock")), 60)
    made(stack, "after-postgres")
    assert [stack.pid(WORKER), stack.pid("clock")] == pids
    assert stack.alive("clock")


def test_a_worker_that_starts_takes_down_the_flags_of_a_killed_one(stack: Stack) -> None:
    flag, other = "scrm:wake:wecom_callbacks.jobs.drain_events", "scrm:wake:wecom_callbacks.jobs.drain_urgent"
    stack.kill(WORKER)
    store: Redis = stack.redis()
    store.set(flag, 1)
    store.set(other, 1)
    stack.start(WORKER)
    wait_until(lambda: not store.exists(flag), 60)
    assert store.exists(other)
    store.delete(other)


def test_web_answers_what_it_has_accepted_before_it_ends(stack: Stack) -> None:
    stack.start("web")
    stack.wait_web()
    answers: list[int] = []
    with psycopg.connect(stack.postgres.dsn("scrm")) as holder:
        holder.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")  # /readyz reads it

        def ask() -> None:
            answers.append(requests.get(f"{stack.url}/readyz", timeout=20).status_code)

        asking = [threading.Thread(target=ask) for _ in range(5)]
        for thread in asking:
            thread.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        wait_until(lambda: stack.sql(waiting)[0][0] == len(asking), 60)
        ending = threading.Thread(target=stack.terminate, args=["web"])
        ending.start()
        time.sleep(1)
        assert answers == []
    ending.join(60)
    for thread in asking:
        thread.join(60)
    assert answers == [200] * len(asking)


def test_logs_name_the_process(stack: Stack) -> None:
    assert '"process": "worker:events"' in Path(stack.log(WORKER)).read_text()
