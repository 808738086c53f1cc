from __future__ import annotations

import time
import uuid
from datetime import timedelta

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from config.queues import Queue
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import session, transaction
from scrm.wecom import outcomes
from scrm.wecom.claiming import claim_to_ask, claim_to_send
from scrm.wecom.effects import Intent, cancel, plan
from scrm.wecom.errors import Retryable, Stop, Unclear
from scrm.wecom.gates import Gates
from scrm.wecom.jobs import forget_effects
from scrm.wecom.lane import Lane
from scrm.wecom.models import Effect, EffectState
from scrm.wecom.outcomes import Outcome
from scrm.wecom.recording import record
from tests.scrm.wecom.conftest import carry_out, due_now, effect, listening, planned


def test_a_planned_tag_reaches_wecom_once_and_is_confirmed(corp):
    vip = corp.tag_ids("VIP")
    made = planned(
        "mark_tag",
        {"userid": corp.userid, "external_userid": corp.people[0], "add_tag": vip, "remove_tag": []},
    )
    carry_out("mark_tag")
    carry_out("mark_tag")
    row = effect(made)
    assert (row.state, row.errcode, row.result, row.attempts) == (EffectState.CONFIRMED, None, {}, 1)
    assert row.lease_token is None
    assert row.finished_at >= row.sent_at >= row.created_at
    assert len(corp.accepted("externalcontact/mark_tag")) == 1
    assert corp.tags_of(corp.people[0]) == set(vip)


def test_planning_an_intent_twice_is_planning_it_once(committed):
    first = planned("broadcast_remind", {"msgid": "msgA"}, key="remind:1")
    assert planned("broadcast_remind", {"msgid": "other"}, key="remind:1") == first
    with transaction():
        both = plan([Intent("broadcast_remind", "remind:1", {}), Intent("broadcast_remind", "remind:2", {})])
    assert both["remind:1"] == first
    assert set(both) == {"remind:1", "remind:2"}
    assert effect(first).payload == {"msgid": "msgA"}


def test_a_cancelled_effect_is_told_and_never_sent(corp, heard):
    made = planned("broadcast_remind", {"msgid": "msgA"}, key="remind:1")
    with transaction():
        assert cancel(["remind:1", "remind:never planned"]) == {"remind:1"}
    carry_out("broadcast_remind")
    assert effect(made).state == EffectState.CANCELLED
    assert [event.state for event in heard] == [EffectState.CANCELLED]
    assert corp.control.log(api="externalcontact/remind_groupmsg_send", everything=True) == []


def test_what_is_confirmed_can_no_longer_be_cancelled(corp):
    made = planned(
        "remark", {"userid": corp.userid, "external_userid": corp.people[0], "remark": "王总"}, key="r"
    )
    carry_out("remark")
    with transaction():
        assert cancel(["r"]) == set()
    assert effect(made).state == EffectState.CONFIRMED


def test_the_settling_is_told_in_the_transaction_of_the_state(corp, heard):
    def look(events):
        states = session().execute(select(Effect.id, Effect.state)).all()
        assert {(e.effect_id, e.state) for e in events} <= {tuple(row) for row in states}

    with listening(look):
        made = planned("delete_contact_way", {"config_id": "0" * 32}, subject="channel_code:7", key="k")
        carry_out("delete_contact_way")
    assert [(e.effect_id, e.kind, e.key, e.subject, e.state, e.errcode) for e in heard] == [
        (made, "delete_contact_way", "k", "channel_code:7", EffectState.CONFIRMED, 41044)
    ]


def test_a_subscriber_that_fails_for_one_effect_does_not_hold_up_the_others(corp):
    good = [planned("delete_contact_way", {"config_id": str(n) * 32}) for n in range(3)]
    bad = planned("delete_contact_way", {"config_id": "9" * 32}, key="poison")

    def trip(events):
        if any(event.key == "poison" for event in events):
            raise LookupError("a defect")

    with listening(trip):
        carry_out("delete_contact_way")
    assert {effect(made).state for made in good} == {EffectState.CONFIRMED}
    row = effect(bad)  # what WeCom said is kept, and told again
    assert (row.state, row.tellings) == (EffectState.CONFIRMED, 1)
    assert row.tell_at > row.finished_at


def test_a_subscriber_that_asks_too_much_of_postgres_does_not_hold_up_the_others(corp):
    good = planned("delete_contact_way", {"config_id": "1" * 32})
    bad = planned("delete_contact_way", {"config_id": "9" * 32}, key="poison")

    def sleep(events):
        if any(event.key == "poison" for event in events):
            session().execute(text("SET LOCAL statement_timeout = '20ms'"))
            session().execute(text("SELECT pg_sleep(5)"))

    with listening(sleep):
        carry_out("delete_contact_way")
        with shifted(timedelta(minutes=1)):
            carry_out("delete_contact_way")
    assert (effect(good).state, effect(good).tell_at) == (EffectState.CONFIRMED, None)
    assert (effect(bad).state, effect(bad).tellings) == (EffectState.CONFIRMED, 2)


def test_an_effect_whose_moment_passed_expires_without_a_call(corp, heard):
    made = planned("remark", {"userid": corp.userid}, deadline_at=utcnow() - timedelta(seconds=1))
    carry_out("remark")
    row = effect(made)
    assert (row.state, row.sent_at) == (EffectState.EXPIRED, None)
    assert [event.state for event in heard] == [EffectState.EXPIRED]
    assert corp.control.log(api="externalcontact/remark", everything=True) == []


def test_an_effect_for_later_waits(corp):
    made = planned("remark", {"userid": corp.userid}, not_before=utcnow() + timedelta(hours=1))
    carry_out("remark")
    assert (effect(made).state, effect(made).attempts) == (EffectState.PLANNED, 0)


def test_effects_of_one_subject_are_carried_out_in_the_order_they_were_planned(corp):
    body = {"userid": corp.userid, "external_userid": corp.people[0]}
    corp.control.fault("errcode", api="externalcontact/remark", errcode=-1)
    first = planned("remark", {**body, "remark": "old"}, subject="follow:1")
    second = planned("remark", {**body, "remark": "new"}, subject="follow:1")
    carry_out("remark")
    assert (effect(first).state, effect(second).state) == (EffectState.PLANNED, EffectState.PLANNED)
    due_now(first)
    carry_out("remark")
    assert effect(second).state == EffectState.CONFIRMED
    assert [b["remark"] for b in corp.accepted("externalcontact/remark")] == ["old", "new"]


def test_a_worker_without_its_lease_writes_nothing(corp):
    made = planned("remark", {"userid": corp.userid, "external_userid": corp.people[0], "remark": "a"})
    with transaction():
        works = claim_to_send(Queue.EVENTS, Gates(), 10, 60)
    with transaction():
        session().execute(update(Effect).values(lease_token=uuid.uuid4()))
    record([Outcome(works[0].id, works[0].token, EffectState.FAILED)])
    assert effect(made).state == EffectState.SENT


def test_a_claim_keeps_other_workers_off(corp):
    planned("remark", {"userid": corp.userid})
    with transaction():
        assert len(claim_to_send(Queue.EVENTS, Gates(), 10, 60)) == 1
    with transaction():
        assert claim_to_send(Queue.EVENTS, Gates(), 10, 60) == []
        assert claim_to_ask(Queue.EVENTS, Gates(), 10, 60) == []


def test_higher_priorities_are_claimed_first(corp):
    low = planned("remark", {}, queue=Queue.URGENT)
    high = planned("welcome", {})
    with transaction():
        assert [work.id for work in claim_to_send(Queue.URGENT, Gates(), 10, 60)] == [high, low]


def test_old_settled_effects_are_forgotten_and_open_ones_kept(committed):
    old, young, opened = (planned("remark", {}) for _ in range(3))
    long_ago = utcnow() - timedelta(days=100)
    with transaction():
        for made, at in ((old, long_ago), (young, utcnow())):
            session().execute(
                update(Effect).where(Effect.id == made).values(state=EffectState.CONFIRMED, finished_at=at)
            )
    forget_effects()
    assert set(session().scalars(select(Effect.id))) == {young, opened}


def test_every_outcome_is_recorded_once(corp, caplog):
    made = [planned("delete_contact_way", {"config_id": f"{n:032}"}) for n in range(40)]
    with capture_logs() as logs:
        carry_out("delete_contact_way")
    assert {effect(one).state for one in made} == {EffectState.CONFIRMED}
    assert [line for line in logs if line["event"] != "effect"] == []


def test_a_hanging_call_holds_up_neither_the_others_nor_the_urgent_queue(corp, app):
    api = "externalcontact/send_welcome_msg"
    corp.control.fault("hang", api=api, seconds=60)
    stuck = planned("welcome", {"welcome_code": "stuck", "text": {"content": "a"}})
    started = time.monotonic()
    assert Lane(Queue.URGENT).run() is True  # more to do: the queue's other jobs get their turn
    assert time.monotonic() - started < 4.5  # the call itself is given up after five
    others = [planned("welcome", {"welcome_code": f"c{n}", "text": {"content": "a"}}) for n in range(3)]
    Lane(Queue.URGENT).run()
    assert {effect(one).errcode for one in others} == {41050}
    assert effect(stuck).state == EffectState.SENT
    corp.control.clear_faults()
    while Lane(Queue.URGENT).run():
        pass
    assert effect(stuck).state == EffectState.UNKNOWN


def test_a_lease_always_outlives_the_call(corp):
    """Also for a slow kind that somebody sends through the urgent queue."""
    body = {"userid": corp.userid, "external_userid": corp.people[0], "remark": "王总"}
    made = planned("remark", body, queue=Queue.URGENT)
    Lane(Queue.URGENT).run()
    assert effect(made).state == EffectState.CONFIRMED


def test_what_was_carried_out_while_the_database_was_away_is_recorded_later(corp, app, monkeypatch):
    body = {"userid": corp.userid, "external_userid": corp.people[0], "remark": "王总"}
    made = planned("remark", body)

    def away(events):
        raise OperationalError("UPDATE", {}, ConnectionError())

    with listening(away), pytest.raises(OperationalError):
        carry_out("remark")
    assert effect(made).state == EffectState.SENT
    carry_out("remark")
    assert effect(made).state == EffectState.CONFIRMED
    assert len(corp.accepted("externalcontact/remark")) == 1


def test_a_worker_that_dies_while_asking_does_not_leave_the_effect_to_nobody(committed):
    made = planned("mark_tag", {"userid": "zhang", "external_userid": "wm1", "add_tag": ["et1"]})
    with transaction():
        assert claim_to_send(Queue.EVENTS, Gates(), 10, 60)  # it dies with the call under way
    for _ in range(2):
        _end_leases()
        with transaction():
            asked = claim_to_ask(Queue.EVENTS, Gates(), 10, 60)  # it dies with the question under way
        assert [work.id for work in asked] == [made]


def _end_leases() -> None:
    with transaction():
        session().execute(update(Effect).values(lease_until=utcnow() - timedelta(seconds=1)))


def test_a_welcome_whose_moment_passes_while_it_waits_for_a_token_is_not_called_too_late(corp, app, redis):
    api = "externalcontact/send_welcome_msg"
    app.extensions.pop("scrm_wecom", None)
    redis.flushdb()  # no token is known any more
    corp.control.fault("latency", api="gettoken", seconds=0.4)
    made = planned("welcome", {"welcome_code": "C"}, deadline_at=utcnow() + timedelta(seconds=0.2))
    while Lane(Queue.URGENT).run():
        pass
    with shifted(timedelta(seconds=1)):
        carry_out("welcome")
    assert effect(made).state == EffectState.EXPIRED
    assert corp.control.log(api=api, everything=True) == []


@pytest.mark.parametrize(
    "error", [Unclear("media/upload", None, "time-out"), Retryable("media/upload", None, "away")]
)
def test_what_a_call_needs_and_cannot_have_puts_it_off_without_counting(committed, error):
    planned("welcome", {})
    with transaction():
        (work,) = claim_to_send(Queue.URGENT, Gates(), 1, 60)
    outcome = outcomes.not_ready(work, error, utcnow(), 5)
    assert (outcome.state, outcome.counted) == (EffectState.PLANNED, False)
    assert outcome.next_at > utcnow()


def test_a_file_that_wecom_refuses_fails_the_effect_that_needs_it(committed):
    planned("welcome", {})
    with transaction():
        (work,) = claim_to_send(Queue.URGENT, Gates(), 1, 60)
    outcome = outcomes.not_ready(work, Stop("media/upload", 40004, "type"), utcnow(), 5)
    assert (outcome.state, outcome.errcode) == (EffectState.FAILED, 40004)
