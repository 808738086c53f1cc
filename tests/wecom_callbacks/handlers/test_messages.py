"""What members write to our apps and do in them is stored, each thing once."""

import hashlib
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from scrm.conversations.models import Channel, Direction, Message
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session as current_session
from scrm.kernel.db import transaction
from scrm.staff.models import Staff
from tests.conftest import CORP_ID
from wecom_callbacks import jobs
from wecom_callbacks.models import InboxRow, InboxState, Lane

SENT = datetime.fromtimestamp(1700000000, UTC)
ENVELOPE = (
    f"<ToUserName><![CDATA[{CORP_ID}]]></ToUserName><FromUserName><![CDATA[ZhangSan]]></FromUserName>"
    "<CreateTime>1700000000</CreateTime>"
)
TAIL = "<MsgId>{0}</MsgId><AgentID>1000002</AgentID>"


def message(kind, rest, msgid="7300000000000000001"):
    """A body of wecom-api.md section 3.7."""
    return f"<xml>{ENVELOPE}<MsgType><![CDATA[{kind}]]></MsgType>{rest}{TAIL.format(msgid)}</xml>"


def event(name, rest=""):
    return (
        f"<xml>{ENVELOPE}<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[{name}]]></Event>"
        f"{rest}<AgentID>1000002</AgentID></xml>"
    )


def arrive(*bodies, app="main"):
    """Store bodies as the intake does, and work through them; returns the states of their rows."""
    with transaction():
        rows = [
            InboxRow(
                digest=hashlib.sha256(f"{app}{body}".encode()).digest(), app=app, lane=Lane.EVENTS, body=body,
                received_at=utcnow(),
            )
            for body in bodies
        ]  # fmt: skip
        current_session().add_all(rows)
    jobs.drain_events()
    current_session().expire_all()
    return [row.state for row in rows]


def stored():
    return current_session().scalars(select(Message).order_by(Message.id)).all()


@pytest.mark.parametrize(
    ("kind", "rest", "text", "media_id", "content"),
    [
        ("text", "<Content><![CDATA[你好]]></Content>", "你好", None, {"Content": "你好"}),
        (
            "image",
            "<PicUrl><![CDATA[P]]></PicUrl><MediaId><![CDATA[M]]></MediaId>",
            None,
            "M",
            {"PicUrl": "P", "MediaId": "M"},
        ),
        (
            "voice",
            "<MediaId><![CDATA[M]]></MediaId><Format><![CDATA[amr]]></Format>",
            None,
            "M",
            {"MediaId": "M", "Format": "amr"},
        ),
        (
            "video",
            "<MediaId><![CDATA[M]]></MediaId><ThumbMediaId><![CDATA[T]]></ThumbMediaId>",
            None,
            "M",
            {"MediaId": "M", "ThumbMediaId": "T"},
        ),
        (
            "location",
            "<Location_X>23.1</Location_X><Location_Y>113.3</Location_Y><Scale>20</Scale><Label><![CDATA[p]]></Label>",
            None,
            None,
            {"Location_X": "23.1", "Location_Y": "113.3", "Scale": "20", "Label": "p"},
        ),
        (
            "link",
            "<Title><![CDATA[t]]></Title><Url><![CDATA[U]]></Url>",
            None,
            None,
            {"Title": "t", "Url": "U"},
        ),
    ],
)
def test_every_kind_of_message_is_stored(session, kind, rest, text, media_id, content):
    assert arrive(message(kind, rest)) == [InboxState.DONE]
    [row] = stored()
    staff_id = session.scalars(select(Staff.id).where(Staff.userid == "ZhangSan")).one()
    assert (row.channel, row.direction, row.kind, row.app) == (Channel.APP, Direction.IN, kind, "main")
    assert (row.text, row.media_id, row.content) == (text, media_id, content)
    assert (row.message_key, row.staff_id, row.sent_at) == ("7300000000000000001", staff_id, SENT)


@pytest.mark.parametrize(
    ("name", "rest", "content"),
    [
        ("subscribe", "", {}),
        ("unsubscribe", "", {}),
        ("enter_agent", "<EventKey><![CDATA[]]></EventKey>", {"EventKey": ""}),
        ("click", "<EventKey><![CDATA[menu_1]]></EventKey>", {"EventKey": "menu_1"}),
        (
            "LOCATION",
            "<Latitude>23.1</Latitude><Longitude>113.3</Longitude>",
            {"Latitude": "23.1", "Longitude": "113.3"},
        ),
        (
            "template_card_event",
            (
                "<EventKey><![CDATA[b]]></EventKey><TaskId><![CDATA[t1]]></TaskId><SelectedItems><SelectedItem>"
                "<QuestionKey><![CDATA[q]]></QuestionKey></SelectedItem></SelectedItems>"
            ),
            {"EventKey": "b", "TaskId": "t1", "SelectedItems": {"SelectedItem": {"QuestionKey": "q"}}},
        ),
    ],
)
def test_events_of_members_are_stored_as_events(session, name, rest, content):
    assert arrive(event(name, rest)) == [InboxState.DONE]
    [row] = stored()
    assert (row.direction, row.kind, row.content, row.text) == (Direction.EVENT, name, content, None)


def test_one_message_delivered_twice_is_stored_once(session):
    body = message("text", "<Content>a</Content>")
    arrive(body)
    arrive(body.replace("<AgentID>", " <AgentID>"))  # not the same bytes, the same MsgId
    assert len(stored()) == 1


def test_two_events_of_one_second_are_both_stored(session):
    arrive(event("click", "<EventKey>a</EventKey>"), event("click", "<EventKey>b</EventKey>"))
    assert sorted(row.content["EventKey"] for row in stored()) == ["a", "b"]


def test_a_replay_stores_nothing_new(session):
    arrive(event("subscribe"), message("text", "<Content>a</Content>"))
    session.query(InboxRow).update({"state": InboxState.RECEIVED, "replayed_at": utcnow()})
    session.commit()
    jobs.drain_events()
    assert len(stored()) == 2


def test_unknown_kinds_of_message_and_event_are_ignored(session):
    assert arrive(message("hologram", ""), event("share_agent_change")) == [InboxState.IGNORED] * 2
    assert stored() == []
