from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from scrm.wecom.errors import Busy, Deferred, RateLimited
from scrm.wecom.governor import LOCAL_SHARE, Governor
from scrm.wecom.limits import RESERVE, Rules
from scrm.wecom.models import Priority
from scrm.wecom.store import SharedStore
from tests.scrm.wecom.conftest import AWAY, governor

API = "externalcontact/get"
MINUTE = 60_000


def grants(gov: Governor, priority: Priority, most: int = 100_000) -> int:
    """Calls granted one after the other at this moment."""
    count = 0
    while count < most:
        turn, release = gov.try_turn(API, priority)
        if not turn.granted:
            return count
        release()
        count += 1
    return count


def minute_left(gov: Governor) -> int:
    return next(window.left for window in gov.left([API])[0].windows if window.seconds == 60)


def share(store) -> float:
    return LOCAL_SHARE if store.alone else 1.0


def test_no_minute_holds_more_calls_than_wecom_allows(store, settings, clock):
    gov = governor(store, settings, clock, per_minute=600, per_hour=100_000)
    granted = grants(gov, Priority.WELCOME)
    assert granted == pytest.approx(60 * share(store), abs=1)
    for _ in range(60):
        clock.ms += 1000
        granted += grants(gov, Priority.WELCOME)
    assert granted <= 600 * share(store)
    assert granted >= 590 * share(store)


def test_no_hour_holds_more_calls_than_wecom_allows(store, settings, clock):
    gov = governor(store, settings, clock, per_minute=600, per_hour=2000)
    granted = 0
    for _ in range(60):
        clock.ms += MINUTE
        granted += grants(gov, Priority.WELCOME)
    assert 1800 * share(store) <= granted <= 2000 * share(store)


def test_a_refusal_says_how_long_to_wait_and_that_is_right(store, settings, clock):
    gov = governor(store, settings, clock, per_minute=600)
    grants(gov, Priority.SYNC)
    turn, _ = gov.try_turn(API, Priority.SYNC)
    assert (turn.granted, turn.why) == (False, "rate")
    clock.ms += int(turn.wait_ms) - 2
    assert not gov.try_turn(API, Priority.SYNC)[0].granted
    clock.ms += 3
    assert gov.try_turn(API, Priority.SYNC)[0].granted


def test_broadcasts_at_full_rate_never_make_a_welcome_wait(store, settings, clock):
    gov = governor(store, settings, clock, per_minute=6000)
    waits = []
    for step in range(2000):  # 100 s of model time, the broadcast asking every 50 ms for all it can get
        clock.ms += 50
        grants(gov, Priority.BROADCAST)
        if step % 2 == 0:  # ten welcomes a second
            turn, release = gov.try_turn(API, Priority.WELCOME)
            waits.append(0.0 if turn.granted else turn.wait_ms)
            release() if turn.granted else None
    assert max(waits) == 0


def test_threads_of_several_processes_broadcasting_all_they_can_are_never_in_a_welcomes_way(shared, settings):
    """In real time: every welcome is granted at its first asking, though no broadcast could be granted any more."""
    several = [governor(shared, settings, None, per_minute=3000) for _ in range(4)]
    over, taken = threading.Event(), []

    def broadcast(gov: Governor) -> None:
        while not over.is_set():
            turn, release = gov.try_turn(API, Priority.BROADCAST)
            if turn.granted:
                taken.append(turn)
                over.wait(0.002)  # the call
                release()

    with ThreadPoolExecutor(12) as pool:
        running = [pool.submit(broadcast, gov) for gov in several * 3]
        while several[0].try_turn(API, Priority.BROADCAST)[0].granted:
            pass  # until the broadcasts have taken all that is theirs
        asked = [
            several[n % 4].try_turn(API, Priority.WELCOME) for n in range(7)
        ]  # more than that are for later
        granted_at_once = [turn.granted for turn, _ in asked]
        over.set()
    assert granted_at_once == [True] * 7
    assert [future.exception() for future in running] == [None] * 12
    assert taken


def test_every_priority_leaves_its_reserve_to_those_who_go_first(store, settings, clock):
    left = {}
    for priority in reversed(Priority):
        gov = governor(store, settings, clock, per_minute=6000)
        grants(gov, priority)
        left[priority] = minute_left(gov)
        assert grants(gov, priority) == 0
    burst = 600 * share(store)
    for priority, tokens in left.items():
        assert tokens == pytest.approx(RESERVE[priority] * burst, abs=1)


def test_calls_at_once_are_limited_and_the_reserve_holds_there_too(store, settings, clock):
    gov = governor(store, settings, clock, concurrent=20)
    running = [gov.try_turn(API, Priority.BROADCAST) for _ in range(30)]
    slots = int(20 * share(store))
    assert sum(turn.granted for turn, _ in running) == int(slots * 0.6)
    assert running[-1][0].why == "calls"
    welcomes = [gov.try_turn(API, Priority.WELCOME) for _ in range(30)]
    assert sum(turn.granted for turn, _ in welcomes) == slots - int(slots * 0.6)
    for turn, release in running:
        if turn.granted:
            release()
    assert gov.try_turn(API, Priority.BROADCAST)[0].granted


def test_slots_of_a_killed_process_free_themselves(shared, settings, clock):
    gov = governor(shared, settings, clock, concurrent=2)
    assert [gov.try_turn(API, Priority.WELCOME)[0].granted for _ in range(3)] == [True, True, False]
    clock.ms += 30_001
    assert gov.try_turn(API, Priority.WELCOME)[0].granted


def test_all_processes_share_one_bucket(shared, settings, clock):
    several = [governor(shared, settings, clock, per_minute=600) for _ in range(4)]
    assert sum(grants(gov, Priority.WELCOME) for gov in several) == 60


def test_threads_of_several_processes_together_take_exactly_what_there_is(shared, settings, clock):
    several = [governor(shared, settings, clock, per_minute=1000, concurrent=1000) for _ in range(4)]
    start = threading.Barrier(16)

    def take(number: int) -> int:
        start.wait()
        return sum(several[number % 4].try_turn(API, Priority.WELCOME)[0].granted for _ in range(20))

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(take, range(16))) == 100


def test_45009_closes_the_api_for_everybody_and_then_starts_slowly(store, settings, clock):
    gov = governor(store, settings, clock, per_minute=6000, cooldown_seconds=60)
    other = gov if store.alone else governor(store, settings, clock)
    seconds = gov.cool_down(API, RateLimited(API, 45009, "limit"))
    assert 60 <= seconds <= 72
    assert other.try_turn(API, Priority.WELCOME)[0].why == "cooldown"
    assert set(other.closed([API, "other/api"])) == {API}
    clock.ms += int(seconds * 1000) - 10
    assert not gov.try_turn(API, Priority.WELCOME)[0].granted
    clock.ms += 10 + 1000
    first_second = grants(gov, Priority.WELCOME)
    assert first_second == pytest.approx(90 * share(store), abs=1)  # the rate, not the burst


def test_a_second_45009_soon_after_closes_for_longer_up_to_an_hour(store, settings, clock):
    gov = governor(store, settings, clock, cooldown_seconds=60)
    error = RateLimited(API, 45009, "limit")
    closed = []
    for _ in range(8):
        closed.append(gov.cool_down(API, error))
        assert gov.cool_down(API, error) == pytest.approx(
            closed[-1], abs=0.01
        )  # calls under way: the same news
        clock.ms += int(closed[-1] * 1000) + 1000
    assert [60 * 2**n <= c <= 60 * 2**n * 1.2 + 72 for n, c in enumerate(closed[:5])] == [True] * 5
    assert closed[-1] <= 3600 * 1.2
    clock.ms += 3 * 3_600_000
    assert gov.cool_down(API, error) <= 72


def test_45033_makes_fewer_calls_at_once_and_forgets_it_slowly(shared, settings, clock):
    gov = governor(shared, settings, clock, concurrent=20)
    running = [gov.try_turn(API, Priority.WELCOME)[1] for _ in range(10)]
    assert 1 <= gov.cool_down(API, Busy(API, 45033, "busy")) <= 1.2
    for release in running:
        release()
    clock.ms += 1300
    assert sum(gov.try_turn(API, Priority.WELCOME)[0].granted for _ in range(20)) == 5
    clock.ms += 61_000  # two more by then, and the slots have ended
    assert sum(gov.try_turn(API, Priority.WELCOME)[0].granted for _ in range(20)) == 7


def test_waiting_too_long_is_put_off_and_says_when(store, settings, clock):
    gov = governor(store, settings, clock, per_minute=60)
    grants(gov, Priority.SYNC)
    with pytest.raises(Deferred) as deferred, gov.turn(API, Priority.SYNC, patience=0.0):
        pytest.fail("there was no turn")
    assert 0 < deferred.value.retry_after < 10
    assert isinstance(deferred.value, RateLimited)


def test_who_waits_for_a_turn_can_be_stopped(store, settings, clock):
    gov, stop = governor(store, settings, clock, per_minute=60), threading.Event()
    grants(gov, Priority.SYNC)
    began = time.monotonic()
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(Deferred, match="asked to end"), gov.turn(API, Priority.SYNC, 10.0, stop=stop):
        pytest.fail("there was no turn")
    assert time.monotonic() - began < 5
    clock.ms += MINUTE
    with gov.turn(API, Priority.SYNC, 10.0, stop=stop):
        pass  # a turn that is there is given


def test_a_turn_gives_its_slot_back_whatever_happens(store, settings, clock):
    gov = governor(store, settings, clock, concurrent=4)
    for _ in range(5):
        with pytest.raises(LookupError), gov.turn(API, Priority.WELCOME, 0):
            raise LookupError
    assert gov.left([API])[0].running == 0


def test_a_limit_met_inside_a_turn_closes_the_api_and_is_told_with_its_end(store, settings, clock):
    gov = governor(store, settings, clock)
    with pytest.raises(RateLimited) as limited, gov.turn(API, Priority.WELCOME, 0):
        raise RateLimited(API, 45009, "limit")
    assert limited.value.retry_after >= 60
    assert gov.left([API])[0].door.cool_seconds >= 59


def test_emptying_redis_in_the_middle_only_forgets(shared, redis, settings, clock):
    gov = governor(shared, settings, clock, per_minute=600)
    with gov.turn(API, Priority.WELCOME, 0):
        redis.flushdb()
    assert gov.try_turn(API, Priority.WELCOME)[0].granted
    redis.script_flush()
    assert gov.try_turn(API, Priority.WELCOME)[0].granted


def test_a_governor_that_is_switched_off_never_asks(settings, clock):
    gov = governor(SharedStore(AWAY), settings, clock, enabled=False, per_minute=1)
    for _ in range(3):  # with limits on, the second would be put off
        with gov.turn(API, Priority.SYNC, 0):
            pass


def test_apis_do_not_share_their_limits(store, settings, clock):
    gov = governor(store, settings, clock, per_minute=60)
    grants(gov, Priority.WELCOME)
    assert gov.try_turn("another/api", Priority.SYNC)[0].granted


def test_the_figures_add_up_to_wecoms_limits(settings):
    minute, hour = Rules(settings.governor, API).windows
    assert minute.burst + minute.rate * MINUTE == pytest.approx(10_000)
    assert hour.burst + hour.rate * 60 * MINUTE == pytest.approx(150_000)
    assert Rules(settings.governor, "kf/sync_msg").calls == 5
