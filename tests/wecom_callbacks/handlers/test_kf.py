"""Customer service calls back: accounts are remembered as wanting to be read, whatever order and number."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from scrm.conversations.models import KfAccount
from scrm.conversations.service.kf import claim_pulls
from scrm.kernel.db import transaction
from wecom_callbacks.handlers.kf import kf_accounts_change_hands, kf_messages_wait
from wecom_callbacks.reasons import Ignored
from wecom_callbacks.registry import Callback

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


def test_accounts_given_to_us_are_read_and_those_taken_from_us_are_not(session):
    with transaction():
        kf_accounts_change_hands([callback(AuthAddOpenKfId=["wkA", "wkB"]), callback(AuthAddOpenKfId="wkC")])
        kf_accounts_change_hands([callback(AuthDelOpenKfId="wkD"), callback(AuthDelOpenKfId=["wkA", "wkB"])])
    found = accounts(session)
    assert sorted(found) == ["wkA", "wkB", "wkC", "wkD"]
    assert found["wkD"].pull_wanted_at is None
    with transaction():
        kf_accounts_change_hands([callback(AuthDelOpenKfId="wkC", at=AT + timedelta(seconds=5))])
    claimed = {account.open_kfid for account in claim_pulls().rows}
    assert claimed == {"wkA", "wkB"}, "given and taken in one second: reading will tell"


def test_an_account_that_is_written_to_after_it_was_taken_is_ours(session):
    taken = callback(AuthDelOpenKfId="wkA", at=AT + timedelta(seconds=5))
    with transaction():
        kf_messages_wait([callback(at=AT)])
        kf_accounts_change_hands([taken])
    assert claim_pulls().rows == []
    with transaction():
        kf_messages_wait([callback(at=AT + timedelta(seconds=9))])
        kf_accounts_change_hands([taken])
    assert [account.open_kfid for account in claim_pulls().rows] == ["wkA"]


def test_callbacks_without_an_account_say_why_they_were_ignored(session):
    assert kf_messages_wait([callback(open_kfid="")]) == {1: Ignored.INCOMPLETE}
    assert kf_accounts_change_hands([callback()]) == {1: Ignored.INCOMPLETE}
