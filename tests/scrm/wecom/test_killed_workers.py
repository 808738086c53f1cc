"""Real worker processes, killed or stopped around a call of WeCom; compared with the sandbox's log."""

from __future__ import annotations

import signal
import tempfile
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from scrm.kernel.clock import shifted
from scrm.wecom.models import EffectState
from tests.nursery import Child, nursery
from tests.scrm.wecom.conftest import carry_out, effect, planned

pytestmark = pytest.mark.fault
LEASE_OVER = timedelta(seconds=61)
MARK, MASS = "externalcontact/mark_tag", "externalcontact/add_msg_template"


@contextmanager
def worker(queue: str, env: dict[str, str], **more: str):
    """A ``scrm worker`` process; gone at the end."""
    with tempfile.TemporaryDirectory() as folder:
        process = nursery().spawn(["worker", queue], {**env, **more}, Path(folder) / "log")
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


def killed(process: Child) -> bool:
    return process.wait(60) == -signal.SIGKILL


def until(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def mark(corp) -> int:
    body = {"userid": corp.userid, "external_userid": corp.people[0]}
    return planned("mark_tag", {**body, "add_tag": corp.tag_ids("VIP"), "remove_tag": []})


def test_killed_after_the_claim_nothing_was_sent_and_it_is_sent_once(corp, process_env):
    made = mark(corp)
    with worker("events", process_env, SCRM_CRASH_AT="after_claim") as process:
        assert killed(process)
    assert (effect(made).state, corp.accepted(MARK)) == (EffectState.SENT, [])
    carry_out("mark_tag")
    assert effect(made).state == EffectState.SENT  # its lease still lives
    with shifted(LEASE_OVER):
        carry_out("mark_tag")
        carry_out("mark_tag")
    assert effect(made).state == EffectState.CONFIRMED
    assert len(corp.accepted(MARK)) == 1


def test_killed_after_wecom_accepted_it_is_found_and_not_sent_again(corp, process_env):
    made = mark(corp)
    with worker("events", process_env, SCRM_CRASH_AT="after_wecom_accepted") as process:
        assert killed(process)
    assert (effect(made).state, len(corp.accepted(MARK))) == (EffectState.SENT, 1)
    with shifted(LEASE_OVER):
        carry_out("mark_tag")
    assert effect(made).state == EffectState.CONFIRMED
    assert len(corp.accepted(MARK)) == 1


def test_killed_after_the_outcome_was_recorded_nothing_is_left_to_do(corp, process_env):
    made = mark(corp)
    with worker("events", process_env, SCRM_CRASH_AT="after_record") as process:
        assert killed(process)
    assert effect(made).state == EffectState.CONFIRMED
    with shifted(LEASE_OVER):
        carry_out("mark_tag")
    assert len(corp.accepted(MARK)) == 1


def test_a_broadcast_whose_worker_was_killed_after_wecom_accepted_is_not_sent_again(corp, process_env):
    body = {"external_userid": corp.people, "sender": corp.userid, "text": {"content": "周末活动"}}
    made = planned("broadcast", body)
    with worker("broadcast", process_env, SCRM_CRASH_AT="after_wecom_accepted") as process:
        assert killed(process)
    corp.control.advance_clock(2)  # dispatched
    with shifted(LEASE_OVER):
        carry_out("broadcast")
    (msgid,) = corp.control.state_ids("mass_send")
    assert (effect(made).state, effect(made).result) == (
        EffectState.CONFIRMED,
        {"msgid": msgid, "fail_list": []},
    )
    assert len(corp.accepted(MASS)) == 1


def test_a_worker_stopped_past_its_lease_writes_nothing_when_it_goes_on(corp, process_env):
    corp.control.fault("latency", api=MARK, seconds=3)
    made = mark(corp)
    with worker("events", process_env) as process:
        until(lambda: effect(made).state == EffectState.SENT)
        time.sleep(1.5)  # the request is under way
        process.send_signal(signal.SIGSTOP)
        until(lambda: len(corp.accepted(MARK)) == 1)
        with shifted(LEASE_OVER):
            carry_out("mark_tag")
        settled = effect(made)
        assert settled.state == EffectState.CONFIRMED
        process.send_signal(signal.SIGCONT)
        second = mark_other(corp)
        until(lambda: effect(second).state == EffectState.CONFIRMED)
    assert effect(made).finished_at == settled.finished_at
    assert len(corp.accepted(MARK)) == 2


def mark_other(corp) -> int:
    body = {"userid": corp.userid, "external_userid": corp.people[1]}
    return planned("mark_tag", {**body, "add_tag": corp.tag_ids("SVIP"), "remove_tag": []})


def test_redis_emptied_in_the_middle_loses_no_effect(corp, redis, process_env):
    vip = corp.tag_ids("VIP")
    bodies = [
        {"userid": corp.userid, "external_userid": person, "add_tag": vip} for person in corp.people * 20
    ]
    with worker("events", process_env) as process:
        made = [planned("mark_tag", body) for body in bodies[:30]]
        redis.flushdb()
        made += [planned("mark_tag", body) for body in bodies[30:]]
        redis.flushdb()
        until(lambda: _wake_until_done(made))
        assert process.poll() is None
    assert len(corp.accepted(MARK)) == len(bodies)
    assert {effect(one).attempts for one in made} == {1}


def _wake_until_done(made: list[int]) -> bool:
    """What the clock does: wake as long as there is work."""
    from scrm.wecom.jobs import carry_out_events

    if carry_out_events.due():
        carry_out_events.wake()
    return all(effect(one).state == EffectState.CONFIRMED for one in made)
