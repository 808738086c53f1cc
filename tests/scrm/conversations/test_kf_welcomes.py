"""Greeting who opens a customer-service conversation, and what a customer hears when nobody can take the session."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from scrm.conversations.models import AutoReplyFiring, Channel, Direction, MatchKind, Message
from scrm.conversations.service.matching import first_welcome
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.settings import settings
from scrm.wecom.jobs import carry_out_urgent
from scrm.wecom.models import Effect

GREETING = {"match": MatchKind.ENTERS, "keywords": [], "reply_text": "您好"}


def enter(desk, person=None, **more):
    return desk.sandbox.kf_enter(person, open_kfid=desk.open_kfid, **more)["external_userid"]


def firings(session):
    session.expire_all()
    return session.scalars(select(AutoReplyFiring).order_by(AutoReplyFiring.id)).all()


def test_who_enters_is_greeted_once(desk, rule, session):
    rule(**GREETING)
    person = enter(desk)
    desk.work()
    desk.work()
    assert desk.received(person) == ["您好"]
    said = session.scalars(select(Message).where(Message.direction == Direction.OUT)).all()
    assert [(m.text, m.external_userid) for m in said if m.external_userid == person] == [("您好", person)]


def test_a_greeting_has_twenty_seconds(desk, rule, session):
    rule(**GREETING)
    person = enter(desk)
    with shifted(timedelta(seconds=25)):
        desk.work()
    assert desk.received(person) == []
    assert firings(session) == []


def test_a_planned_greeting_ends_with_its_code(desk, rule, session):
    rule(**GREETING)
    enter(desk)
    desk.read()
    for effect in session.scalars(select(Effect).where(Effect.kind == "kf_event_message")):
        entered = session.scalars(select(Message.sent_at).where(Message.kind == "enter_session")).all()
        assert effect.deadline_at - timedelta(seconds=20) in entered
    with shifted(timedelta(seconds=25)):
        carry_out_urgent()
    assert [bool(firing.failed) for firing in firings(session)] != []
    assert all(firing.failed for firing in firings(session))
    assert desk.received() == []


def test_a_scene_may_have_its_own_greeting(desk, rule):
    rule(**GREETING | {"keywords": ["ad_1"], "reply_text": "广告来的您好"}, priority=5)
    rule(**GREETING)
    one, two = enter(desk, scene="ad_1"), enter(desk, scene="other")
    desk.work()
    assert (desk.received(one), desk.received(two)) == (["广告来的您好"], ["您好"])


def test_greetings_keep_office_hours(session, rule):
    closed = rule(**GREETING, office_hours={"days": [1], "from": "00:00", "to": "00:01"})
    at = utcnow().replace(hour=6)
    at -= timedelta(days=at.isoweekday() - 3)  # a Wednesday
    assert first_welcome([closed], None, at, settings().corp.zone) is None


def test_a_keyword_rule_greets_nobody_and_a_greeting_answers_no_words(desk, rule):
    rule(keywords=["您好"])
    rule(**GREETING | {"reply_text": "欢迎"})
    desk.said("您好")
    desk.work()
    assert "99 元" in desk.received()


@pytest.fixture
def no_servicer(desk):
    userid = desk.sandbox.state_ids("member")[0]
    desk.sandbox.servicer_status(userid, False, open_kfid=desk.open_kfid)
    return userid


def test_a_hand_over_that_nobody_takes_says_what_is_configured_for_that(desk, rule, no_servicer, session):
    rule(
        keywords=["人工"], hand_over_to=no_servicer, reply_text="请稍候", fallback_text="客服 9:00-18:00 在线"
    )
    desk.said("人工")
    desk.work()
    carry_out_urgent()
    assert desk.received() == ["客服 9:00-18:00 在线"]
    assert firings(session)[0].failed.startswith("95019")


def test_without_such_words_the_rule_says_why_nobody_answered(desk, rule, no_servicer, session, api):
    made = rule(keywords=["人工"], hand_over_to=no_servicer, reply_text="请稍候")
    desk.said("人工")
    desk.work()
    carry_out_urgent()
    assert desk.received() == []
    shown = api.get(f"/api/v1/auto-replies/{made.id}").json
    assert (shown["answers"], shown["failures"], shown["last_failure"][:5]) == (1, 1, "95019")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"channel": "app"}, "channel"),
        ({"reply_text": None}, "reply_text"),
        ({"hand_over_to": "pool"}, "hand_over_to"),
        ({"match": "contains"}, "keywords"),
        ({"fallback_text": "x"}, "fallback_text"),
    ],
)
def test_greetings_that_make_no_sense_are_refused(api, change, field):
    body = {"name": "g", "channel": Channel.KF.value, "match": "enters", "keywords": [], "reply_text": "hi"}
    answer = api.post("/api/v1/auto-replies", json=body | change)
    assert answer.status_code == 422
    assert field in answer.text
    assert api.post("/api/v1/auto-replies", json=body).status_code == 201
