"""Customer service calls back: accounts are remembered as wanting to be read, whatever order and number."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from scrm.conversations.models import KfAccount
from scrm.kernel.db import transaction
from wecom_callbacks.handlers.kf import kf_accounts_granted, kf_messages_wait
from wecom_callbacks.registry import Callback, handler_for

AT = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)


def callback(open_kfid="wkA", token="T1", at=AT, **fields):
    body = {"OpenKfId": open_kfid, "Token": token, **fields}
    return Callback(1, "main", "kf_msg_or_event", None, at, body, False)


def accounts(session):
    session.expire_all()
    return {row.open_kfid: row for row in session.scalars(select(KfAccount))}


def test_many_callbacks_make_one_wish_per_account_with_the_newest_token(session):
    batch = [callback(at=AT + timedelta(seconds=n), token=f"T{n}") for n in (3, 9, 5)]
    with transaction():
        kf_messages_wait([*batch, callback("wkB", "")])
    found = accounts(session)
    assert found["wkA"].pull_token == "T9"
    assert found["wkB"].pull_token is None
    assert all(row.pull_wanted_at for row in found.values())


def test_a_later_wish_is_a_new_wish(session):
    with transaction():
        kf_messages_wait([callback()])
    first = accounts(session)["wkA"].pull_wanted_at
    with transaction():
        kf_messages_wait([callback()])
    assert accounts(session)["wkA"].pull_wanted_at > first


def test_accounts_that_were_given_to_us_are_read(session):
    with transaction():
        kf_accounts_granted([callback(AuthAddOpenKfId=["wkA", "wkB"]), callback(AuthAddOpenKfId="wkC")])
        kf_accounts_granted([callback(AuthDelOpenKfId="wkD")])
    assert sorted(accounts(session)) == ["wkA", "wkB", "wkC"]


def test_the_handlers_are_registered():
    assert handler_for("kf_msg_or_event", None) is kf_messages_wait
    assert handler_for("kf_account_auth_change", None) is kf_accounts_granted
