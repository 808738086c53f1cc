"""Redis' clock is set back by hours: what waits goes on waiting for what was left, and not for those hours."""

from datetime import timedelta

from scrm.kernel.clock import shifted
from scrm.wecom.circuit import Heard
from scrm.wecom.fetch_guard import MOST, FetchGuard
from scrm.wecom.models import Priority
from tests.scrm.wecom.conftest import governor
from tests.scrm.wecom.test_governor import API, grants

HOURS, SECOND = 3 * 3_600_000, 1000


def ask(gov):
    turn, release = gov.try_turn(API, Priority.WELCOME)
    return turn, release


def test_a_rate_that_is_used_up_comes_back_in_its_own_time(shared, settings, clock):
    gov = governor(shared, settings, clock, per_minute=600)
    grants(gov, Priority.WELCOME)
    clock.ms -= HOURS
    turn, _ = ask(gov)
    assert (turn.granted, turn.why) == (False, "rate")
    assert turn.wait_ms < SECOND
    clock.ms += SECOND
    assert 8 <= grants(gov, Priority.WELCOME) <= 12, "ten a second, as before"


def test_an_open_circuit_is_tried_when_its_pause_is_over(shared, settings, clock):
    gov = governor(shared, settings, clock)
    while not (turn_release := ask(gov))[0].why:
        turn_release[1](Heard.SILENCE)
    assert ask(gov)[0].why == "circuit"
    clock.ms -= HOURS
    turn, _ = ask(gov)
    assert (turn.granted, turn.why) == (False, "circuit")
    assert turn.wait_ms <= settings.governor.circuit_seconds * SECOND
    [door] = [left.door for left in gov.left([API])]
    assert door.open_seconds < 5
    assert gov.doors([API])[API].open_seconds < 5
    clock.ms += 2 * SECOND
    assert ask(gov)[0].granted


def test_calls_whose_worker_died_give_their_place_back(shared, settings, clock):
    gov = governor(shared, settings, clock, concurrent=2)
    for _ in range(2):
        assert ask(gov)[0].granted  # and nobody releases them
    assert ask(gov)[0].why == "calls"
    clock.ms -= HOURS
    assert ask(gov)[0].why == "calls"
    clock.ms += 120 * SECOND
    assert ask(gov)[0].granted


def test_the_clock_may_be_set_back_again_and_forward(shared, settings, clock):
    gov = governor(shared, settings, clock, per_minute=600)
    for moved in (-HOURS, -HOURS, 5 * HOURS, -HOURS):
        grants(gov, Priority.WELCOME)
        clock.ms += moved
        ask(gov)  # the first who asks finds out
        clock.ms += 2 * SECOND
        assert 15 <= grants(gov, Priority.WELCOME) <= 61


def test_a_token_can_be_fetched_again_a_minute_later(shared):
    def fetches():
        guard = FetchGuard(shared, "scrm:token:x:fetches")
        return sum(guard.allow() is not None for _ in range(MOST + 1))

    with shifted(timedelta(hours=3)):
        own = FetchGuard(shared, "scrm:token:y:fetches")
        assert [own.allow() is not None for _ in range(MOST + 1)] == [True] * MOST + [False]
        assert fetches() == MOST
    assert fetches() == 0
    with shifted(timedelta(seconds=61)):
        assert fetches() == MOST
        assert own.allow() is not None, "the process itself counts no fetches of hours to come"
