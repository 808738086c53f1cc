"""change_external_chat: every shape of the callbacks."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from scrm.groups.models import CustomerGroup, GroupStay
from scrm.groups.service.recording import GroupEvent, GroupFact
from scrm.kernel.db import transaction
from wecom_callbacks.handlers.groups import _event
from wecom_callbacks.registry import Callback, handler_for, load_handlers
from wecom_callbacks.xml import parse

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
CREATE = b"<xml><ChatId><![CDATA[wrAAA]]></ChatId><ChangeType><![CDATA[create]]></ChangeType></xml>"
JOIN = b"""<xml><ChatId><![CDATA[wrAAA]]></ChatId><ChangeType><![CDATA[update]]></ChangeType>
<UpdateDetail><![CDATA[add_member]]></UpdateDetail><JoinScene>3</JoinScene><QuitScene>0</QuitScene><MemChangeCnt>2</MemChangeCnt>
<MemChangeList><Item>wmAAA</Item><Item>wmBBB</Item></MemChangeList>
<LastMemVer>9c3f97c2ada667df</LastMemVer><CurMemVer>71217227bbd112ec</CurMemVer></xml>"""
LEAVE = b"""<xml><ChatId>wrAAA</ChatId><UpdateDetail>del_member</UpdateDetail><QuitScene>1</QuitScene>
<MemChangeCnt>1</MemChangeCnt><MemChangeList>%s</MemChangeList><LastMemVer>71217227bbd112ec</LastMemVer><CurMemVer>88aa</CurMemVer></xml>"""
RENAME = b"<xml><ChatId>wrAAA</ChatId><UpdateDetail>change_name</UpdateDetail></xml>"
OLD_JOIN = b"<xml><ChatId>wrAAA</ChatId><UpdateDetail>add_member</UpdateDetail><JoinScene>1</JoinScene></xml>"


def callback(change, body):
    return Callback(1, "main", "change_external_chat", change, AT, parse(body, 24), replayed=False)


def event(fact, people=(), scene=None, versions=None):
    return GroupEvent("wrAAA", fact, AT, people, scene, versions)


@pytest.mark.parametrize(
    ("change", "body", "expected"),
    [
        ("create", CREATE, event(GroupFact.FOUNDED)),
        ("update", JOIN, event(GroupFact.JOINED, ("wmAAA", "wmBBB"), None, ("9c3f97c2ada667df", "71217227bbd112ec"))),
        ("update", LEAVE % b"<Item>wmAAA</Item>", event(GroupFact.LEFT, ("wmAAA",), 1, ("71217227bbd112ec", "88aa"))),
        ("update", LEAVE % b"wmA,wmB", event(GroupFact.LEFT, ("wmA", "wmB"), 1, ("71217227bbd112ec", "88aa"))),
        ("update", RENAME, event(GroupFact.CHANGED)),
        ("update", OLD_JOIN, event(GroupFact.JOINED)),
        ("dismiss", CREATE, event(GroupFact.DISMISSED)),
    ],
)  # fmt: skip
def test_every_shape_is_understood(change, body, expected):
    assert _event(callback(change, body)) == expected


def test_a_stream_of_callbacks_reaches_the_tables(session):
    load_handlers()
    with transaction():
        for change, body in (("create", CREATE), ("update", JOIN), ("update", RENAME), ("dismiss", CREATE)):
            handler_for("change_external_chat", change)([callback(change, body)])
    assert session.scalars(select(CustomerGroup.status)).all() == ["dismissed"]
    assert session.scalars(select(GroupStay)).all() == []
