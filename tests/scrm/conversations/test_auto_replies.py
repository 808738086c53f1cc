"""Automatic replies end to end: from WeCom's log to what the sandbox accepted."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from scrm.conversations import jobs
from scrm.conversations.models import AutoReplyFiring, Channel, Direction, KfSession, Message
from scrm.conversations.queries import replies_due
from scrm.conversations.service.messages import NewMessage, store_app_messages
from scrm.conversations.service.replies import Question, reply_msgid
from scrm.kernel import clock
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.wecom.jobs import carry_out_urgent
from scrm.wecom.models import Effect
from tests.scrm.conversations.conftest import consider


def outgoing(session):
    return session.scalars(
        select(Message).where(Message.direction == Direction.OUT).order_by(Message.id)
    ).all()


def test_a_keyword_is_answered_once_and_the_answer_is_kept(desk, rule, session):
    rule()
    desk.said("请问价格")
    desk.work()
    desk.work()
    assert desk.received() == ["99 元"]
    [said] = session.scalars(select(Message).where(Message.direction == Direction.IN)).all()
    [answer] = outgoing(session)
    assert (answer.text, answer.message_key, answer.external_userid) == (
        "99 元",
        reply_msgid(said),
        desk.person,
    )
    assert not replies_due()


def test_what_no_rule_knows_is_considered_and_left_alone(desk, rule, session):
    rule()
    desk.said("你好")
    desk.work()
    assert desk.received() == []
    assert not replies_due()
    assert session.scalars(select(AutoReplyFiring)).all() == []


def test_a_rule_that_is_off_or_of_another_channel_does_not_answer(desk, rule):
    rule(enabled=False)
    rule(channel=Channel.APP)
    desk.said("价格")
    desk.work()
    assert desk.received() == []


def test_the_highest_priority_decides_even_when_it_is_cooling_down(desk, rule):
    rule(reply_text="低", priority=1)
    rule(reply_text="高", priority=5, cooldown_seconds=600)
    desk.said("价格")
    desk.work()
    desk.said("价格")
    desk.work()
    assert desk.received() == ["高"]


def test_a_cooldown_is_per_person_and_ends(desk, rule, session):
    rule(cooldown_seconds=600)
    other = desk.stranger()
    for who in (desk.person, other, desk.person):
        desk.said("价格", who)
        desk.work()
    assert (desk.received(), desk.received(other)) == (["99 元"], ["99 元"])
    session.execute(update(AutoReplyFiring).values(fired_at=utcnow() - timedelta(seconds=601)))
    desk.said("价格")
    desk.work()
    assert desk.received() == ["99 元", "99 元"]


def test_several_messages_of_one_person_are_answered_in_order_and_at_most_five(desk, rule, session):
    rule()
    desk.said("价格", count=7)
    desk.work()
    assert desk.received() == ["99 元"] * 5
    assert session.scalars(select(KfSession.answered_since)).one() == 5
    assert not replies_due()
    refused = session.scalars(select(Effect.errcode).where(Effect.errcode.is_not(None))).all()
    assert refused == []  # our own counter stops before WeCom has to
    desk.said("价格")
    desk.work()
    assert len(desk.received()) == 6


def test_after_48_hours_nothing_is_sent(desk, rule, session):
    rule()
    desk.said("价格")
    desk.read()
    session.execute(update(KfSession).values(last_customer_message_at=utcnow() - timedelta(hours=48)))
    consider()
    carry_out_urgent()
    assert desk.received() == []
    assert session.scalars(select(Effect)).all() == []


def test_old_words_are_not_answered_after_a_new_start(desk, rule, session):
    rule()
    desk.said("价格")
    with clock.shifted(timedelta(minutes=11)):
        desk.work()
    assert desk.received() == []
    assert not replies_due()


def test_words_that_grew_old_while_we_were_down_are_not_answered(desk, rule):
    rule()
    desk.said("价格")
    desk.read()
    assert replies_due()
    with clock.shifted(timedelta(minutes=11)):
        consider()
    carry_out_urgent()
    assert desk.received() == []
    assert not replies_due()


def test_a_person_who_serves_is_not_interrupted(desk, rule, session):
    rule()
    userid = desk.sandbox.state_ids("member")[0]
    desk.said("在吗")
    desk.sandbox.servicer_take(userid, desk.person)
    desk.said("价格")
    desk.work()
    assert desk.received() == []
    row = session.scalars(select(KfSession)).one()
    assert row.service_state == 3
    desk.sandbox.servicer_end(desk.person)
    desk.said("价格")
    desk.work()
    assert desk.received() == ["99 元"]


def test_a_state_we_never_heard_of_is_asked_from_wecom(desk, rule, session):
    rule()
    desk.said("你好")
    desk.work()
    session.execute(update(KfSession).values(service_state=None))
    desk.sandbox.servicer_take(desk.sandbox.state_ids("member")[0], desk.person)
    with transaction():
        desk.said("价格")
    desk.work()
    assert desk.received() == []
    assert session.scalars(select(KfSession.service_state)).one() == 3


def test_a_refusal_teaches_where_the_session_stands(desk, rule, session):
    rule()
    desk.said("价格")
    desk.sandbox.fault("errcode", api="kf/send_msg", errcode=95018, times=1)
    desk.work()
    row = session.scalars(select(KfSession)).one()
    assert row.service_state is None
    assert outgoing(session) == []


def test_a_question_for_the_state_that_fails_does_not_stop_the_answer(desk, rule):
    rule()
    desk.sandbox.fault("errcode", api="kf/service_state/get", errcode=-1, times=None)
    desk.said("价格")
    desk.work()
    assert desk.received() == ["99 元"]


def test_handing_over_to_the_pool_says_so_with_the_code(desk, rule, session):
    rule(keywords=["人工"], hand_over_to="pool", reply_text="正在为您转接")
    desk.said("转人工")
    desk.work()
    carry_out_urgent()
    assert desk.sandbox.state("kf_session", f"{desk.open_kfid}/{desk.person}")["state"] == 2
    assert desk.received() == ["正在为您转接"]
    assert session.scalars(select(KfSession.service_state)).one() == 2
    assert [message.text for message in outgoing(session)] == ["正在为您转接"]


def test_handing_over_to_a_member_without_words(desk, rule, session):
    userid = desk.sandbox.state_ids("member")[0]
    rule(keywords=["人工"], hand_over_to=userid, reply_text=None)
    desk.said("人工")
    desk.work()
    carry_out_urgent()
    assert desk.sandbox.state("kf_session", f"{desk.open_kfid}/{desk.person}")["servicer"] == userid
    assert desk.received() == []
    row = session.scalars(select(KfSession)).one()
    assert (row.service_state, row.servicer_staff_id is not None) == (3, True)


def test_an_answer_that_could_not_be_delivered_says_so(desk, rule, session):
    rule()
    desk.said("价格")
    desk.work()
    [answer] = outgoing(session)
    desk.sandbox.kf_event(
        {
            "event_type": "msg_send_fail",
            "external_userid": desk.person,
            "fail_msgid": answer.message_key,
            "fail_type": 10,
        }
    )
    desk.read()
    session.refresh(answer)
    assert answer.failed == "not delivered: fail_type 10"


def test_a_failure_reported_before_our_answer_is_stored_is_not_lost(desk, rule, session):
    rule()
    desk.said("价格")
    desk.read()
    consider()
    said = session.scalars(select(Message)).all()[-1]
    desk.sandbox.kf_event(
        {
            "event_type": "msg_send_fail",
            "external_userid": desk.person,
            "fail_msgid": reply_msgid(said),
            "fail_type": 4,
        }
    )
    desk.read()
    carry_out_urgent()
    assert [message.failed for message in outgoing(session)] == ["not delivered: fail_type 4"]


def test_a_member_of_staff_is_answered_by_the_app_they_wrote_to(session, sandbox, rule):
    sandbox.population(members=1)
    [userid] = sandbox.state_ids("member")
    rule(channel=Channel.APP, keywords=["帮助"], match="exact", reply_text="请看手册")
    message = NewMessage(Channel.APP, "7300000000000000001", utcnow(), Direction.IN, "text", "帮助", app="main", userid=userid)  # fmt: skip
    for _ in range(2):
        with transaction():
            store_app_messages([message])
        consider()
        carry_out_urgent()
    [call] = sandbox.log("message/send")
    assert (call["body"]["touser"], call["body"]["text"]) == (userid, {"content": "请看手册"})
    assert [m.text for m in outgoing(session)] == ["请看手册"]


def test_recalled_messages_say_who_took_them_back(desk, session):
    desk.said("说错了")
    desk.read()
    [said] = session.scalars(select(Message).where(Message.direction == Direction.IN)).all()
    desk.sandbox.kf_event(
        {"event_type": "user_recall_msg", "external_userid": desk.person, "recall_msgid": said.message_key}
    )
    desk.read()
    session.refresh(said)
    assert said.failed == "recalled by the customer"


@pytest.mark.parametrize("times", [1, 3])
def test_an_answer_that_is_lost_after_wecom_took_the_message_send_it_twice(desk, rule, session, times):
    rule()
    desk.said("价格")
    desk.sandbox.fault("truncate", api="kf/send_msg", times=times)
    desk.work()
    with clock.shifted(timedelta(seconds=30)):
        carry_out_urgent()
    assert desk.received() == ["99 元"]


def test_two_planners_at_once_answer_once(committed, app, rule):
    rule(channel=Channel.APP, keywords=["帮助"], cooldown_seconds=600)
    with transaction():
        store_app_messages(
            [
                NewMessage(
                    Channel.APP, f"m{n}", utcnow(), Direction.IN, "text", "帮助", app="main", userid="zhang"
                )
                for n in range(6)
            ]
        )

    def plan() -> None:
        with app.app_context():
            consider()

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(plan) for _ in range(4)]:
            done.result()
    assert len(committed.scalars(select(AutoReplyFiring)).all()) == 1
    assert len(committed.scalars(select(Effect)).all()) == 1
    assert not replies_due()


def test_questions_wecom_does_not_answer_do_not_hold_the_worker_for_long(desk, settings, monkeypatch):
    monkeypatch.setattr(jobs, "READ_TIMEOUT", 0.2)
    monkeypatch.setattr(jobs, "ASK_SECONDS", 0.1)
    desk.sandbox.fault("hang", api="kf/service_state/get", seconds=20, times=None)
    many = [Question(n, desk.open_kfid, desk.person) for n in range(settings.wecom.concurrency * 100)]
    started = time.monotonic()
    assert jobs._ask_states(many) == {question.session_id for question in many}
    assert time.monotonic() - started < 10
