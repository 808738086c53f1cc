"""An API that does not answer is left alone, by all processes, and tried by one call at a time."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from scrm.kernel import metrics
from scrm.wecom.circuit import Heard, heard_in
from scrm.wecom.errors import (
    Busy,
    Deferred,
    Denied,
    NotFound,
    RateLimited,
    Retryable,
    Stop,
    TokenExpired,
    Unclear,
    error_for,
)
from scrm.wecom.governor import Governor
from scrm.wecom.models import Priority
from tests.scrm.wecom.conftest import governor

API = "externalcontact/get"

SILENT = Unclear(API, None, "time-out")


def fail(gov: Governor, times: int = 1, priority: Priority = Priority.SYNC, error=SILENT) -> None:
    for _ in range(times):
        with pytest.raises(type(error)), gov.turn(API, priority, 0):
            raise error


def opened(store, settings, clock, **changes) -> Governor:
    gov = governor(store, settings, clock, **changes)
    fail(gov, 5)
    return gov


@pytest.mark.parametrize(
    ("error", "heard"),
    [
        (Unclear(API, None, "time-out"), Heard.SILENCE),
        (Retryable(API, None, "no connection"), Heard.SILENCE),
        (error_for(API, -1), Heard.SILENCE),
        (error_for(API, 6000), Heard.ANSWER),
        (error_for(API, 41063), Heard.ANSWER),
        (error_for(API, 45009), Heard.ANSWER),
        (Deferred(API, None, "later"), Heard.NOTHING),
        (RateLimited(API, None, "HTTP 429"), Heard.ANSWER),
        *((kind(API, 1, ""), Heard.ANSWER) for kind in (Stop, Denied, NotFound, Busy, TokenExpired)),
    ],
)
def test_only_silence_counts_against_wecom(error, heard):
    assert heard_in(error) is heard


def test_five_failures_in_a_row_open_it_and_then_nothing_is_tried(store, settings, clock):
    gov = governor(store, settings, clock)
    fail(gov, 4)
    assert gov.doors([API])[API].circuit == "closed"
    fail(gov)
    assert gov.doors([API])[API].circuit == "open"
    with pytest.raises(Deferred) as put_off, gov.turn(API, Priority.WELCOME, 0):
        pytest.fail("it was tried")
    assert 0.9 < put_off.value.retry_after <= 1.3


def test_an_answer_in_between_begins_the_count_anew(store, settings, clock):
    gov = governor(store, settings, clock)
    for _ in range(3):
        fail(gov, 4)
        fail(gov, error=Stop(API, 40058, "refused"))
    assert gov.doors([API])[API].circuit == "closed"


def test_one_call_tries_and_its_answer_closes_it(store, settings, clock):
    gov = opened(store, settings, clock)
    clock.ms += 1001
    assert gov.doors([API])[API].circuit == "half-open"
    turn, release = gov.try_turn(API, Priority.SYNC)
    assert (turn.granted, turn.probe) == (True, True)
    assert not gov.try_turn(API, Priority.WELCOME)[0].granted  # one at a time
    release(Heard.ANSWER)
    assert gov.doors([API])[API].circuit == "closed"
    assert all(gov.try_turn(API, Priority.WELCOME)[0].granted for _ in range(3))


def test_pauses_double_up_to_the_longest(store, settings, clock):
    gov = opened(store, settings, clock, circuit_seconds=60)
    pauses = []
    for _ in range(8):
        door = gov.doors([API])[API]
        pauses.append(round(door.pause_seconds))
        clock.ms += int(door.pause_seconds * 1000) + 1
        fail(gov)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_with_a_welcome_waiting_wecom_is_tried_every_five_seconds(store, settings, clock):
    gov = opened(store, settings, clock)
    for seconds in (1, 2, 4, 8, 16, 32, 60):
        clock.ms += seconds * 1000 + 1
        fail(gov)
    clock.ms += 5001
    assert not gov.try_turn(API, Priority.TAG)[0].granted
    assert set(gov.closed([API], Priority.TAG)) == {API}
    assert gov.closed([API], Priority.WELCOME) == {}
    turn, release = gov.try_turn(API, Priority.WELCOME)
    assert turn.probe
    release(Heard.ANSWER)
    assert gov.try_turn(API, Priority.SYNC)[0].granted


def test_a_call_that_left_before_neither_lengthens_nor_closes_it_by_failing(store, settings, clock):
    gov = governor(store, settings, clock)
    _, late = gov.try_turn(API, Priority.SYNC)
    fail(gov, 5)
    clock.ms += 500
    late(Heard.SILENCE)
    assert gov.doors([API])[API].shut_seconds(60) == pytest.approx(0.5, abs=0.01)


def test_a_call_that_left_before_and_is_answered_closes_it(store, settings, clock):
    gov = governor(store, settings, clock)
    _, late = gov.try_turn(API, Priority.SYNC)
    fail(gov, 5)
    late(Heard.ANSWER)
    assert gov.doors([API])[API].circuit == "closed"


def test_a_probe_that_never_left_lets_another_try(store, settings, clock):
    gov = opened(store, settings, clock)
    clock.ms += 1001
    _, release = gov.try_turn(API, Priority.SYNC)
    release(Heard.NOTHING)
    assert gov.try_turn(API, Priority.SYNC)[0].probe


def test_a_probe_whose_process_was_killed_is_followed_by_another(shared, settings, clock):
    gov = opened(shared, settings, clock)
    clock.ms += 1001
    assert gov.try_turn(API, Priority.SYNC)[0].probe  # and it is never heard of again
    clock.ms += 29_000
    assert not gov.try_turn(API, Priority.SYNC)[0].granted
    clock.ms += 1001
    assert gov.try_turn(API, Priority.SYNC)[0].probe


def test_all_processes_share_it_and_one_tries(shared, settings, clock):
    several = [governor(shared, settings, clock) for _ in range(5)]
    for gov in several:
        fail(gov)
    assert {gov.doors([API])[API].circuit for gov in several} == {"open"}
    clock.ms += 1001
    assert sum(gov.try_turn(API, Priority.SYNC)[0].granted for gov in several) == 1


def test_other_apis_are_not_concerned(store, settings, clock):
    gov = opened(store, settings, clock)
    assert gov.try_turn("another/api", Priority.SYNC)[0].granted


def outages(gov: Governor, times: int, between=lambda: None) -> list[bool]:
    """Whether each failure of a row was told to be an outage."""
    errors = [error_for(API, -1) for _ in range(times)]
    for error in errors:
        fail(gov, error=error)
        between()
    return [error.outage for error in errors]


def test_silence_everywhere_is_an_outage_from_the_second_failure_on(store, settings, clock):
    gov = governor(store, settings, clock)
    assert outages(gov, 4, between=lambda: setattr(clock, "ms", clock.ms + 300_000)) == [
        False,
        True,
        True,
        True,
    ]


def test_silence_of_one_api_while_others_answer_is_one_only_when_its_circuit_opens(store, settings, clock):
    gov = governor(store, settings, clock)

    def another_answers() -> None:
        clock.ms += 10
        gov.try_turn("another/api", Priority.SYNC)[1](Heard.ANSWER)

    assert outages(gov, 5, another_answers) == [False, False, False, False, True]
    clock.ms += 1001
    error = error_for(API, -1)
    fail(gov, error=error)
    assert error.outage
    assert 2 <= error.retry_after <= 2.4


def test_it_is_said_and_counted_once(shared, settings, clock):
    several = [governor(shared, settings, clock) for _ in range(4)]
    before = metrics.CIRCUIT_OPENED.labels(API)._value.get()
    with capture_logs() as logs:
        for _ in range(3):
            for gov in several:
                with pytest.raises((Unclear, Deferred)), gov.turn(API, Priority.SYNC, 0):
                    raise SILENT
        clock.ms += 1001
        several[3].try_turn(API, Priority.SYNC)[1](Heard.ANSWER)
    assert metrics.CIRCUIT_OPENED.labels(API)._value.get() == before + 1
    assert [line["event"] for line in logs] == [
        "WeCom does not answer; the API is left alone",
        "WeCom answers again",
    ]


def test_open_circuits_are_listed_with_the_app_that_met_them(shared, settings, clock):
    gov = opened(shared, settings, clock)
    assert gov.open_circuits() == {(API, ""): ("main", clock.ms / 1000)}
    clock.ms += 1001
    gov.try_turn(API, Priority.SYNC)[1](Heard.ANSWER)
    assert gov.open_circuits() == {}


def test_switched_off_it_never_opens(store, settings, clock):
    gov = governor(store, settings, clock, circuit_failures=0)
    fail(gov, 20)
    assert gov.doors([API])[API].circuit == "closed"
