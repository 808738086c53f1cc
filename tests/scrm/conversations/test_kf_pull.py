"""Reading customer service: every message once, whatever breaks between the pages."""

import os
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from scrm.conversations import jobs
from scrm.conversations.events import MessageStored
from scrm.conversations.models import Channel, Direction, KfAccount, KfSession, Message
from scrm.conversations.queries import pulls_due
from scrm.conversations.service.kf import (
    PullWish,
    Reading,
    claim_pulls,
    close_missing_accounts,
    finish_reading,
    keep_accounts,
    store_page,
    want_pull,
)
from scrm.customers.models import Customer
from scrm.kernel import clock, events
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import transaction
from tests import nursery
from tests.conftest import CORP_ID, TEST_APP
from tests.scrm.conversations.conftest import pull

SECOND_OVER = timedelta(seconds=2)
RUN = "from scrm.bootstrap import create_app; create_app().app_context().push(); import scrm.conversations.jobs as j; j.pull_kf()"


@pytest.fixture
def account(sandbox):
    sandbox.set_limits(kf_tokenless_minute=100_000)
    sandbox.population(members=3, kf_accounts=1)
    return sandbox.chat(None, "第一句")["open_kfid"]


@pytest.fixture
def writer(sandbox, account):
    """The person who wrote the first words."""
    return log(sandbox, account)[0]["external_userid"]


def log(sandbox, open_kfid):
    return sandbox.state("kf_account", open_kfid)["log"]


def wanted(open_kfid, token=None):
    with transaction():
        want_pull([PullWish(open_kfid, token, utcnow())])


def texts(session):
    return session.scalars(
        select(Message.text).where(Message.channel == Channel.KF).order_by(Message.id)
    ).all()


def keys(session):
    return set(session.scalars(select(Message.message_key)))


def test_everything_new_is_read_once_and_the_wish_is_done(session, sandbox, account, writer):
    wanted(account)
    pull()
    sandbox.chat(writer, "第二句")
    wanted(account)
    pull()
    assert texts(session) == ["第一句", "第二句"]
    with shifted(SECOND_OVER):
        pull()
    row = session.scalars(select(KfAccount)).one()
    assert (row.pull_wanted_at, row.pull_failed, row.lease_token) == (None, None, None)
    assert row.cursor
    assert not pulls_due()


def test_what_came_later_in_the_second_of_a_callback_is_read_when_it_is_over(
    session, sandbox, account, writer
):
    wanted(account)
    pull()
    sandbox.chat(writer, "同一秒")  # its callback has the bytes of the first: no row, no wish
    pull()
    assert texts(session) == ["第一句"]
    with shifted(SECOND_OVER):
        assert pulls_due()
        pull()
        assert texts(session) == ["第一句", "同一秒"]
        assert not pulls_due()


def test_accounts_that_a_complete_list_does_not_show_are_read_no_more(session, sandbox, account):
    with transaction():
        want_pull([PullWish("wkGONE", None, utcnow() - SECOND_OVER)])
        keep_accounts([{"open_kfid": account, "name": "n", "manage_privilege": True}], utcnow())
        assert close_missing_accounts([account], utcnow()) == 1
    gone = session.scalars(select(KfAccount).where(KfAccount.open_kfid == "wkGONE")).one()
    assert gone.removed_at is not None
    claimed = {one.open_kfid for one in claim_pulls().rows}
    assert "wkGONE" not in claimed
    assert account in claimed
    assert close_missing_accounts([], utcnow()) == 0


def test_reading_goes_on_while_there_is_more_and_not_longer(session, sandbox, account, writer):
    sandbox.chat(writer, "又一句", count=2300)
    wanted(account)
    pull()
    assert session.scalar(select(func.count()).select_from(Message)) == 2301
    assert [call["body"].get("limit") for call in sandbox.log("kf/sync_msg")] == [1000, 1000, 1000]


def test_an_empty_page_with_more_to_come_does_not_end_the_reading(session):
    wanted("wkSome")
    with transaction():
        claim = claim_pulls()
    reading = Reading.of(claim.rows[0], claim.token)
    with transaction():
        assert store_page(reading, {"next_cursor": "c1", "has_more": 1, "msg_list": []})
        assert not store_page(reading, {"next_cursor": "c1", "has_more": 1, "msg_list": []})  # stands still
        assert not store_page(reading, {"next_cursor": "c2", "has_more": 0, "msg_list": []})
    assert session.scalars(select(KfAccount.cursor)).one() == "c2"


def test_a_page_of_a_reader_that_lost_its_lease_is_not_written(session):
    wanted("wkSome")
    with transaction():
        claim = claim_pulls()
    sleeper = Reading.of(claim.rows[0], claim.token)
    page = {"next_cursor": "c1", "has_more": 0, "msg_list": [text_item("m1")]}
    with clock.shifted(timedelta(minutes=2)):
        with transaction():
            other = claim_pulls()
        with transaction():
            assert not store_page(Reading.of(other.rows[0], other.token), page)
    with transaction():
        assert not store_page(sleeper, {"next_cursor": "c9", "has_more": 1, "msg_list": [text_item("m9")]})
    assert session.scalars(select(KfAccount.cursor)).one() == "c1"
    assert keys(session) == {"m1"}


def text_item(msgid, **more):
    return {
        "msgid": msgid, "open_kfid": "wkSome", "external_userid": "wmA", "send_time": int(utcnow().timestamp()),
        "origin": 3, "msgtype": "text", "text": {"content": "hi"}, **more,
    }  # fmt: skip


def test_a_wish_that_comes_during_the_reading_stays(session, sandbox, account):
    wanted(account)
    with transaction():
        claim = claim_pulls()
    reading = Reading.of(claim.rows[0], claim.token)
    wanted(account)
    with transaction():
        finish_reading(reading)
    assert pulls_due()


def test_a_spent_token_is_left_out_and_the_reading_goes_on(session, sandbox, account):
    wanted(account, token="ENCspent")
    pull()
    assert texts(session) == ["第一句"]


def test_an_old_token_is_not_used_at_all(session, sandbox, account):
    with transaction():
        want_pull([PullWish(account, "ENCold", utcnow() - timedelta(minutes=11))])
    pull()
    assert all("token" not in call["body"] for call in sandbox.log("kf/sync_msg", everything=True))


def test_of_several_callbacks_the_newest_token_is_kept(session):
    now = utcnow()
    with transaction():
        want_pull([PullWish("wkA", "new", now), PullWish("wkA", "old", now - timedelta(seconds=30))])
    with transaction():
        want_pull([PullWish("wkA", "older", now - timedelta(seconds=60)), PullWish("wkA", None, now)])
    assert session.scalars(select(KfAccount.pull_token)).one() == "new"


def test_a_refusal_is_kept_and_tried_again_later(session, sandbox, account):
    sandbox.fault("errcode", api="kf/sync_msg", errcode=-1, times=None)
    wanted(account)
    pull()
    session.expire_all()
    row = session.scalars(select(KfAccount)).one()
    assert row.pull_failed.startswith("-1")
    assert row.lease_token is None
    sandbox.clear_faults()
    pull()
    assert texts(session) == []  # still backing off
    with clock.shifted(timedelta(minutes=1)):
        assert pulls_due()
        pull()
    assert texts(session) == ["第一句"]


def test_an_account_that_is_not_ours_is_not_asked_for_again(session, sandbox, account):
    wanted("wkStranger")
    pull()
    assert session.scalars(select(KfAccount.pull_failed)).one().startswith("95004")
    assert not pulls_due()


def test_an_account_nobody_called_back_for_is_read_anyway(session, sandbox, account):
    wanted(account)
    pull()
    with clock.shifted(timedelta(hours=7)):
        assert pulls_due()


def test_a_message_is_told_once_and_linked_to_its_customer(session, sandbox, account, writer, monkeypatch):
    told = []
    monkeypatch.setitem(events._subscribers, MessageStored, [told.extend])
    customer = Customer(external_userid=writer)
    session.add(customer)
    session.flush()
    for _ in range(2):
        wanted(account)
        pull()
        session.query(KfAccount).update({"cursor": None})  # WeCom's log from its beginning again
    assert [(event.channel, event.direction, event.customer_id) for event in told] == [
        (Channel.KF, Direction.IN, customer.id)
    ]
    assert session.scalars(select(KfSession.customer_id)).one() == customer.id


@pytest.mark.fault
@pytest.mark.parametrize("place", ["kf.page-written", "kf.page-committed"])
def test_a_reader_killed_between_pages_leaves_no_gap_and_no_double(
    committed, settings, sandbox, account, writer, place
):
    sandbox.chat(writer, "又一句", count=2300)
    wanted(account)
    killed = run_elsewhere(settings, SCRM_CRASH_AT=place)
    assert killed.returncode == -9
    after = committed.scalar(select(func.count()).select_from(Message))
    assert after == (0 if place == "kf.page-written" else 1000)
    committed.rollback()
    with clock.shifted(timedelta(minutes=1)):
        pull()
    assert committed.scalar(select(func.count()).select_from(Message)) == 2301
    assert committed.scalar(select(func.count(Message.message_key.distinct()))) == 2301


def run_elsewhere(settings, **extra):
    """Run the job in a process of its own on this test's stores and sandbox."""
    app = {f"SCRM_APPS__MAIN__{key.upper()}": str(value) for key, value in TEST_APP.items()}
    environment = {
        **os.environ, **app, **extra, "SCRM_CORP__ID": CORP_ID, "SCRM_WECOM__BASE_URL": settings.wecom.base_url,
        "SCRM_DATABASE_URL": settings.database_url.get_secret_value(),
        "SCRM_REDIS_URL": settings.redis_url.get_secret_value(), "SCRM_VAR_DIR": str(settings.var_dir),
    }  # fmt: skip
    return nursery.run(["-c", RUN], environment)


def test_an_account_that_was_not_ours_is_read_as_soon_as_it_calls_back(session, sandbox, account):
    sandbox.fault("errcode", api="kf/sync_msg", errcode=48007, times=1)
    wanted(account)
    pull()
    assert session.scalars(select(KfAccount.pull_wanted_at)).one() is None
    wanted(account)
    pull()
    assert texts(session) == ["第一句"]


def test_a_callback_does_not_shorten_a_pause_after_a_failure(session, sandbox, account):
    sandbox.fault("errcode", api="kf/sync_msg", errcode=-1, times=None)
    wanted(account)
    pull()
    wanted(account)
    assert not pulls_due()


def test_a_page_that_cannot_be_stored_does_not_stop_other_accounts(session):
    wanted("wkSome")
    with transaction():
        claim = claim_pulls()
    reading = Reading.of(claim.rows[0], claim.token)
    page = {"next_cursor": "c1", "has_more": 1, "msg_list": [{"msgid": "m", "send_time": 10**18}]}
    assert not jobs._take(reading, page)
    session.expire_all()
    row = session.scalars(select(KfAccount)).one()
    assert (row.cursor, row.lease_token) == (None, None)
    assert "not stored" in row.pull_failed
    assert not pulls_due(), "it is tried again after a pause"
