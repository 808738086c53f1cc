"""`scrm doctor`: every failing line says what is wrong and the way out."""

from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from flask import Flask
from redis import Redis
from rq import Queue as RqQueue
from rq.serializers import JSONSerializer
from sqlalchemy.orm import Session

from config.queues import Queue
from config.settings import Settings
from scrm.cli.doctor import processes, stores, wecom
from scrm.kernel.beats import beat
from scrm.kernel.clock import utcnow
from scrm.sandbox.control import SandboxControl
from tests.scrm.cli.conftest import Run
from wecom_callbacks.models import InboxRow, InboxState, Lane


def callback(state: InboxState, minutes_ago: float) -> InboxRow:
    at = utcnow() - timedelta(minutes=minutes_ago)
    return InboxRow(
        digest=str(minutes_ago).encode(),
        app="main",
        lane=Lane.EVENTS,
        state=state,
        body="<xml/>",
        received_at=at,
    )


def test_stores_and_schema_are_well(session: Session) -> None:
    found = [stores.postgres(), stores.valkey()]
    assert [one.well for one in found] == [True, True]
    assert found[0].detail.startswith("18")


def test_a_schema_that_is_up_to_date_is_well(committed: Session) -> None:
    assert stores.schema().well


def test_a_redis_that_drops_keys_when_full_is_named(session: Session, redis: Redis) -> None:
    redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        found = stores.valkey()
    finally:
        redis.config_set("maxmemory-policy", "noeviction")
    assert not found.well
    assert "noeviction" in found.way_out


def test_without_a_clock_the_way_out_is_to_start_one(session: Session) -> None:
    assert (processes.clock().well, processes.clock().way_out) == (False, "start `scrm clock`")
    beat("clock")
    assert processes.clock().well


def test_every_queue_without_worker_is_named(session: Session) -> None:
    found = processes.workers()
    assert [one.way_out for one in found] == [f"start `scrm worker {queue}`" for queue in Queue]


def test_a_wake_up_that_waits_long_is_named(session: Session, redis: Redis) -> None:
    queue = RqQueue("events", connection=redis, serializer=JSONSerializer)
    job = queue.enqueue("os.getpid")
    assert all(one.well for one in processes.queues())
    job.enqueued_at = utcnow() - timedelta(minutes=5)
    job.save()
    slow = [one for one in processes.queues() if not one.well]
    assert [one.check for one in slow] == ["queue events"]
    assert "1 waiting, the oldest for 30" in slow[0].detail


@pytest.mark.parametrize(
    ("state", "minutes", "well", "way_out"),
    [
        (InboxState.RECEIVED, 0.1, True, ""),
        (InboxState.RECEIVED, 5, False, "log of `scrm worker events`"),
        (InboxState.DONE, 500, True, ""),
        (InboxState.DEAD, 0.1, False, "scrm inbox list --state dead"),
    ],
)
def test_callbacks_that_wait_or_are_dead_are_named(
    session: Session, state: InboxState, minutes: float, well: bool, way_out: str
) -> None:
    session.add(callback(state, minutes))
    session.flush()
    found = processes.inbox()
    assert found.well is well
    assert way_out in found.way_out


def test_a_token_that_can_be_had_is_well(
    session: Session, settings: Settings, sandbox: SandboxControl
) -> None:
    assert [one.well for one in wecom.tokens(settings)] == [True]


def test_a_refused_secret_is_named_with_its_key(
    session: Session, settings: Settings, sandbox: SandboxControl
) -> None:
    sandbox.fault("errcode", api="gettoken", errcode=40001, times=None)
    found = wecom.tokens(settings)[0]
    assert not found.well
    assert "apps.main.secret" in found.way_out


def test_a_wecom_that_cannot_be_reached_is_no_wrong_secret(
    session: Session, settings: Settings, sandbox: SandboxControl
) -> None:
    sandbox.fault("errcode", api="gettoken", errcode=-1, times=None)
    found = wecom.tokens(settings)[0]
    assert not found.well
    assert "wecom.base_url" in found.way_out


def test_the_echo_test_is_one_that_our_own_address_answers(
    app: Flask, session: Session, settings: Settings
) -> None:
    address = wecom.echo_address(settings, "main", "http://x/wecom/callbacks/main", b"a word")
    parts = urlsplit(address)
    answer = app.test_client().get(f"{parts.path}?{parts.query}")
    assert (answer.status_code, answer.text) == (200, "a word")


def test_a_callback_address_that_nobody_answers_is_named(session: Session, settings: Settings) -> None:
    web = settings.web.model_copy(update={"public_url": "http://127.0.0.1:1"})
    found = wecom.callbacks(settings.model_copy(update={"web": web}))[0]
    assert not found.well
    assert "http://127.0.0.1:1/wecom/callbacks/main" in found.detail
    assert "web.public_url" in found.way_out


def test_with_stores_away_the_command_says_so_and_ends_with_1(run: Run) -> None:
    away = {
        "SCRM_DATABASE_URL": "postgresql+psycopg://u@127.0.0.1:1/x",
        "SCRM_REDIS_URL": "redis://127.0.0.1:1",
    }
    done = run("doctor", "--json", **away)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert not found["well"]
    ways = {one["check"]: one["way_out"] for one in found["findings"] if not one["well"]}
    assert "SCRM_DATABASE_URL" in ways["PostgreSQL"]
    assert "SCRM_REDIS_URL" in ways["Redis/Valkey"]
