"""Dead letters: what is used up, defective or cannot be told stops, is seen, is told of once, and can be had again."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta

import pytest

from config.queues import Queue
from scrm.kernel import events
from scrm.kernel.clock import shifted
from scrm.kernel.db import transaction
from scrm.wecom.asking import NOT_DONE
from scrm.wecom.effects import retry
from scrm.wecom.events import EffectSettled, EffectsParked
from scrm.wecom.jobs import LANES, forget_effects
from scrm.wecom.models import EffectState, Parked, Priority
from scrm.wecom.registry import Kind, kinds
from tests.scrm.wecom.conftest import carry_out, due_now, effect, listening, planned

REMARK = "externalcontact/remark"


@pytest.fixture
def parked():
    """The EffectsParked events of this test."""
    told: list[EffectsParked] = []
    events._subscribers[EffectsParked].append(told.extend)
    yield told
    events._subscribers[EffectsParked].remove(told.extend)


@contextmanager
def kind(name: str, send, ask=None):
    """A further kind for a while."""
    kinds()[name] = Kind(name, "some/api", "externalcontact", Queue.BACKGROUND, Priority.TAG, send, ask)
    try:
        yield name
    finally:
        del kinds()[name]


def broken(client, asked):
    raise LookupError("a defect")


def rounds(name: str, made: int, most: int = 12) -> None:
    for _ in range(most):
        due_now(made)
        carry_out(name)


def test_used_up_attempts_are_parked_and_told_of_once_together(corp, parked):
    corp.control.fault("errcode", api=REMARK, errcode=6000, times=None)
    body = {"userid": corp.userid, "external_userid": corp.people[0], "remark": "a"}
    made = [planned("remark", body) for _ in range(3)]
    for _ in range(8):
        for one in made:
            due_now(one)
        carry_out("remark")
    assert {(effect(one).state, effect(one).parked) for one in made} == {
        (EffectState.FAILED, Parked.EXHAUSTED)
    }
    assert sorted(id_ for event in parked for id_ in event.effect_ids) == made
    assert {(event.kind, event.reason) for event in parked} == {("remark", "exhausted")}
    assert effect(made[0]).parked_at is not None


def test_a_refusal_is_no_dead_letter(corp, parked):
    corp.control.fault("errcode", api=REMARK, errcode=40058)
    made = planned("remark", {"userid": corp.userid, "external_userid": corp.people[0], "remark": "a"})
    carry_out("remark")
    assert (effect(made).state, effect(made).parked, parked) == (EffectState.FAILED, None, [])


def test_a_kind_with_a_defect_is_asked_about_sent_again_and_parked_at_last(corp, parked):
    with kind("defective", broken, lambda client, asked: NOT_DONE):
        made = planned("defective", {})
        carry_out("defective")
        assert (effect(made).state, effect(made).parked) == (EffectState.UNKNOWN, None)
        rounds("defective", made)
    row = effect(made)
    assert (row.state, row.parked, row.error) == (EffectState.UNKNOWN, Parked.DEFECT, "defect: LookupError")
    assert row.attempts == 5
    assert [(event.effect_ids, event.reason) for event in parked] == [((made,), "defect")]


def test_a_defect_in_asking_is_parked_too_and_never_sends_again(corp, parked):
    sent = []
    with kind("sends", lambda client, asked: sent.append(asked.id) or broken(client, asked), broken):
        made = planned("sends", {})
        rounds("sends", made)
    assert sent == [made]
    assert effect(made).parked is Parked.DEFECT


def test_what_wecom_cannot_tell_is_parked_for_a_person(corp, parked):
    msgid = "no-such-task"
    corp.control.fault("truncate", api="externalcontact/remind_groupmsg_send")
    made = planned("broadcast_remind", {"msgid": msgid})
    carry_out("broadcast_remind")
    assert (effect(made).state, effect(made).parked) == (EffectState.UNKNOWN, Parked.PERSON)
    assert [event.reason for event in parked] == ["person"]


def deleted(key: str) -> int:
    """Plan something that ends at once: a contact way that is gone already."""
    return planned("delete_contact_way", {"config_id": "0" * 32}, key=key)


def test_what_cannot_be_told_is_told_again_and_parked_at_last(corp, parked):
    calls = "externalcontact/del_contact_way"
    with listening(lambda settled: broken(None, None)):
        made = deleted("poison")
        carry_out("delete_contact_way")
        assert (effect(made).state, effect(made).errcode) == (EffectState.CONFIRMED, 41044)
        for minutes in range(1, 20):
            with shifted(timedelta(minutes=6 * minutes)):
                carry_out("delete_contact_way")
    row = effect(made)
    assert (row.state, row.parked, row.tellings, row.tell_at) == (
        EffectState.CONFIRMED,
        Parked.UNTOLD,
        5,
        None,
    )
    assert sum(corp.control.log_counts()[calls].values()) == 1  # WeCom was asked once
    assert [(event.effect_ids, event.reason) for event in parked] == [((made,), "untold")]


def test_told_again_when_the_defect_is_mended_and_exactly_once(corp, heard):
    with listening(lambda settled: broken(None, None)):
        made = deleted("poison")
        carry_out("delete_contact_way")
    heard.clear()
    for minutes in (1, 2):
        with shifted(timedelta(minutes=minutes)):
            carry_out("delete_contact_way")
    assert [(event.effect_id, event.state) for event in heard] == [(made, EffectState.CONFIRMED)]
    assert (effect(made).tell_at, effect(made).tellings) == (None, 0)


def test_a_parked_untold_one_is_told_by_retry(corp, heard):
    with listening(lambda settled: broken(None, None)):
        made = deleted("poison")
        for minutes in range(20):
            with shifted(timedelta(minutes=6 * minutes)):
                carry_out("delete_contact_way")
    heard.clear()
    with transaction():
        retry(made)
    carry_out("delete_contact_way")
    assert [event.effect_id for event in heard] == [made]
    assert effect(made).parked is None


def test_the_clock_wakes_the_lane_to_tell_again(corp):
    with listening(lambda settled: broken(None, None)):
        deleted("poison")
        carry_out("delete_contact_way")
    lane = LANES[Queue.EVENTS]
    assert not lane.due()
    with shifted(timedelta(seconds=3)):
        assert lane.due()


def test_what_was_not_told_is_never_forgotten(corp):
    with listening(lambda settled: broken(None, None)):
        made = deleted("poison")
        carry_out("delete_contact_way")
    with shifted(timedelta(days=200)):
        forget_effects()
    assert effect(made).state == EffectState.CONFIRMED


def test_one_that_fails_does_not_keep_others_from_being_told(corp, heard):
    def trip(settled: list[EffectSettled]) -> None:
        if any(event.key == "poison" for event in settled):
            raise LookupError

    with listening(trip):
        deleted("poison")
        good = [deleted(f"good {n}") for n in range(3)]
        carry_out("delete_contact_way")
    assert {effect(one).tell_at for one in good} == {None}
    assert {event.effect_id for event in heard} >= set(good)
