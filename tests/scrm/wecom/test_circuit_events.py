"""Opening and closing of circuits is told once each, whoever met it, and wakes the lanes that waited."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from scrm.kernel import events
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import session, transaction
from scrm.wecom import circuits
from scrm.wecom.client import gateway, wecom
from scrm.wecom.errors import WecomError
from scrm.wecom.events import CircuitClosed, CircuitOpened
from scrm.wecom.jobs import forget_effects, watch_circuits
from scrm.wecom.models import Circuit, EffectState
from tests.scrm.wecom.conftest import carry_out, effect, planned

API = "externalcontact/remark"


@pytest.fixture
def told():
    heard: list = []
    for kind in (CircuitOpened, CircuitClosed):
        events._subscribers[kind].append(heard.extend)
    yield heard
    for kind in (CircuitOpened, CircuitClosed):
        events._subscribers[kind].remove(heard.extend)


def silence(times: int = 5) -> None:
    for _ in range(times):
        with pytest.raises(WecomError):
            wecom(patience=0).post(API, {})


WHILE = timedelta(seconds=6)  # long enough to be told


def watched() -> None:
    """What the clock does, a while after it opened."""
    with shifted(WHILE):
        watch_circuits()


def answer() -> None:
    """Somebody tries, and WeCom answers; though it refuses."""
    with shifted(WHILE), pytest.raises(WecomError):
        wecom().post(API, {})


def test_it_is_told_once_when_it_opens_and_once_when_it_closes(corp, told):
    corp.control.fault("disconnect", api=API, times=5)
    silence()
    with shifted(WHILE):
        assert watch_circuits.due()
        for _ in range(3):
            watch_circuits()
        assert not watch_circuits.due()
        assert [(type(event), event.app, event.api) for event in told] == [(CircuitOpened, "main", API)]
        assert told[0].until - utcnow() <= timedelta(seconds=1)
    answer()
    watched()
    assert told[1:] == [CircuitClosed("main", API)]
    (row,) = session().scalars(select(Circuit))
    assert row.closed_at >= row.opened_at


def test_a_hiccup_of_a_second_is_told_to_nobody(corp, told):
    corp.control.fault("disconnect", api=API, times=5)
    silence()
    assert not watch_circuits.due()
    answer()
    watched()
    assert told == []


def test_two_who_look_at_the_same_time_tell_it_once(corp, told):
    corp.control.fault("disconnect", api=API, times=5)
    silence()
    with shifted(WHILE):
        present = circuits.open_now()
    for _ in range(2):
        with transaction():
            circuits.record_changes(present)
    assert len(told) == 1


def test_an_emptied_redis_closes_what_was_open(corp, told, redis):
    corp.control.fault("disconnect", api=API, times=5)
    silence()
    watched()
    redis.flushdb()
    watched()
    assert [type(event) for event in told] == [CircuitOpened, CircuitClosed]


def test_while_redis_is_away_nothing_is_concluded(corp, told):
    corp.control.fault("disconnect", api=API, times=5)
    silence()
    watched()
    gateway()._store._away_until = float("inf")
    assert not watch_circuits.due()
    watched()
    gateway()._store._away_until = 0.0
    assert [type(event) for event in told] == [CircuitOpened]


def test_old_ones_are_forgotten(corp):
    corp.control.fault("disconnect", api=API, times=5)
    silence()
    watched()
    with shifted(timedelta(days=100)):
        forget_effects()
    assert session().scalars(select(Circuit)).all()  # still open
    answer()
    watched()
    with shifted(timedelta(days=100)):
        forget_effects()
    assert session().scalars(select(Circuit)).all() == []


def test_effects_of_a_silent_api_are_not_even_claimed_and_then_one_tries(corp):
    body = {"userid": corp.userid, "external_userid": corp.people[0], "remark": "a"}
    corp.control.fault("errcode", api=API, errcode=-1, times=None)
    first = [planned("remark", body) for _ in range(5)]
    carry_out("remark")
    assert sum(effect(one).attempts for one in first) == 1  # WeCom answers nobody: no fault of the others
    waiting = [planned("remark", body) for _ in range(20)]
    calls = sum(corp.control.log_counts()[API].values())
    carry_out("remark")
    assert {effect(one).state for one in waiting} == {EffectState.PLANNED}
    assert {effect(one).sent_at for one in waiting} == {None}
    assert sum(corp.control.log_counts()[API].values()) == calls
    with shifted(timedelta(seconds=1.5)):
        carry_out("remark")
    assert sum(corp.control.log_counts()[API].values()) == calls + 1
    assert sum(effect(one).sent_at is not None for one in [*first, *waiting]) <= 6
    corp.control.clear_faults()
    for seconds in range(4, 20, 5):
        with shifted(timedelta(seconds=seconds)):
            carry_out("remark")
    assert {effect(one).state for one in [*first, *waiting]} == {EffectState.CONFIRMED}
    assert max(effect(one).attempts for one in [*first, *waiting]) <= 2
