"""change_external_contact: every kind of callback reaches the right use-case."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from scrm.acquisition.models import Welcome
from scrm.customers.models import Customer, Follow
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from wecom_callbacks.registry import Callback, handler_for, load_handlers
from wecom_callbacks.xml import parse

BODY = """<xml><ToUserName><![CDATA[wwcorp]]></ToUserName><FromUserName><![CDATA[sys]]></FromUserName>
<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[change_external_contact]]></Event>
<ChangeType><![CDATA[{change}]]></ChangeType><UserID><![CDATA[zhangsan]]></UserID>
<ExternalUserID><![CDATA[wmAAA]]></ExternalUserID>{rest}</xml>"""
STATE, CODE = "<State><![CDATA[channel_1]]></State>", "<WelcomeCode><![CDATA[CODE]]></WelcomeCode>"


@pytest.fixture(autouse=True)
def start(session):
    load_handlers()
    return utcnow().replace(microsecond=0)


def callback(change, rest="", ago=0, replayed=False):
    fields = parse(BODY.format(change=change, rest=rest).encode(), 24)
    moment = utcnow().replace(microsecond=0) - timedelta(seconds=ago)
    return Callback(1, "main", "change_external_contact", change, moment, fields, replayed)


def tell(*callbacks):
    with transaction():
        handler_for("change_external_contact", callbacks[0].change_type)(list(callbacks))


def follow(session):
    session.expire_all()
    return session.scalars(select(Follow)).one()


def test_an_add_is_recorded_and_greeted(session):
    tell(callback("add_external_contact", STATE + CODE))
    found = follow(session)
    assert (found.status, found.state) == ("active", "channel_1")
    welcome = session.scalars(select(Welcome)).one()
    assert welcome.follow_id == found.id
    tell(callback("add_external_contact", STATE + CODE))
    assert len(session.scalars(select(Welcome)).all()) == 1


def test_a_half_add_is_greeted_with_its_own_code(session):
    tell(callback("add_half_external_contact", STATE + CODE, ago=3))
    assert follow(session).status == "half"
    tell(callback("add_external_contact", STATE))
    assert follow(session).status == "active"
    assert len(session.scalars(select(Welcome)).all()) == 1


def test_a_replayed_add_greets_nobody(session):
    tell(callback("add_external_contact", CODE, replayed=True))
    assert follow(session).status == "active"
    assert session.scalars(select(Welcome)).all() == []


@pytest.mark.parametrize(
    ("change", "rest", "status", "source"),
    [
        ("del_external_contact", "", "deleted_by_staff", None),
        (
            "del_external_contact",
            "<Source>DELETE_BY_TRANSFER</Source>",
            "deleted_by_staff",
            "DELETE_BY_TRANSFER",
        ),
        ("del_follow_user", "", "deleted_by_customer", None),
    ],
)
def test_deletions_say_who_ended_the_relation(session, change, rest, status, source):
    tell(callback("add_external_contact", ago=9))
    tell(callback(change, rest))
    assert (follow(session).status, follow(session).delete_source) == (status, source)


def test_a_failed_transfer_keeps_its_reason(session):
    tell(callback("transfer_fail", "<FailReason><![CDATA[customer_refused]]></FailReason>"))
    assert (follow(session).status, follow(session).transfer_fail_reason) == ("unknown", "customer_refused")


def test_an_edit_only_asks_wecom(session):
    tell(callback("edit_external_contact", STATE))
    assert session.scalars(select(Follow)).all() == []
    assert session.scalars(select(Customer)).one().refresh_wanted_at is not None


def test_consent_to_archiving_greets_when_it_brings_a_code(session):
    tell(callback("msg_audit_approved"))
    assert session.scalars(select(Welcome)).all() == []
    tell(callback("msg_audit_approved", CODE))
    assert session.scalars(select(Welcome)).one().follow_id == follow(session).id


def test_a_callback_that_names_nobody_is_left_out(session):
    broken = Callback(
        2, "main", "change_external_contact", "add_external_contact", utcnow(), {"UserID": "zs"}, False
    )
    tell(broken, callback("add_external_contact"))
    assert follow(session).status == "active"
