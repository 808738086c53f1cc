"""Every callback WeCom knows: through the intake and the drain, twice, late and before its predecessor."""

import pytest
from sqlalchemy import select

from scrm.kernel.db import Base, db
from tests.wecom_callbacks.stories import PAIRS, body, kind, names, said, story
from wecom_callbacks import jobs
from wecom_callbacks.drain import work_batch
from wecom_callbacks.models import InboxRow, InboxState, Lane
from wecom_callbacks.reasons import Ignored
from wecom_callbacks.registry import load_handlers, registered
from wecom_callbacks.service import Selection

START = 1_700_000_000
IGNORED = {
    "change_external_tag.create@strategy": Ignored.RULE_GROUP_TAG,
    "change_external_tag.shuffle@strategy": Ignored.RULE_GROUP_TAG,
    "change_contact.update_tag": Ignored.MEMBER_TAG,
    "open_approval_change": Ignored.NOT_USED,
    "sys_approval_change": Ignored.NOT_USED,
    "share_agent_change": Ignored.NOT_USED,
    "switch_workbench_mode": Ignored.NOT_USED,
}

load_handlers()


@pytest.fixture
def happen(committed, sender):
    """Post callbacks one after the other, each handled before the next arrives; returns what the tables say."""

    def run(*events, replay=()):
        clear()
        for name, seconds in events:
            assert sender.post(body(name, START + seconds)).status_code == 200
            drain(name)
        for name in replay:
            event, change = kind(name)
            jobs.replay_and_wake(Selection(event=event, change_type=change))
            drain(name)
        return said(committed)

    return run


def drain(name):
    """Let the worker of the callback's lane work; one that took the wrong lane would stay as received."""
    urgent = name == "kf_msg_or_event" or "<WelcomeCode>" in body(name, 0)
    work_batch(Lane.URGENT if urgent else Lane.EVENTS)


def clear():
    """Empty all tables in one round trip; quicker than TRUNCATE while they hold next to nothing."""
    tables = [f'DELETE FROM "{table.name}"' for table in reversed(Base.metadata.sorted_tables)]  # noqa: S608  # our names
    with db.engine.begin() as connection:
        connection.exec_driver_sql("; ".join(tables))


def states(session):
    session.rollback()
    return {(row.state, row.reason) for row in session.scalars(select(InboxRow))}


@pytest.mark.parametrize("name", names())
def test_order_number_and_lateness_do_not_matter(happen, committed, name):
    told = story(name)
    before, sample, after = (told.before, 0), (told.sample, 10), (told.after, 20)
    expected = happen(before, sample)
    wanted = {(InboxState.IGNORED, IGNORED[name])} if name in IGNORED else {(InboxState.DONE, None)}
    assert states(committed) >= wanted
    assert all(state in {InboxState.DONE, InboxState.IGNORED} for state, _ in states(committed))

    assert happen(before, sample, sample, replay=[name]) == expected, "twice, and replayed"
    assert happen(sample, before) == expected, "before its predecessor"
    in_order = happen(before, sample, after)
    late = ((before, after, sample), (after, sample, before), (after, before, sample, after))
    for order in late if name in PAIRS else late[1:2]:
        assert happen(*order) == in_order, "late"


def test_every_handled_kind_has_a_sample_and_every_sample_a_handler():
    sampled = {kind(name) for name in names()}
    handled = set(registered())
    assert handled - sampled == set()
    assert {one for one in sampled if one not in handled and (one[0], None) not in handled} == set()


def test_samples_are_what_their_names_promise(happen, committed):
    for name in names():
        happen((name, 0))
        row = committed.scalars(select(InboxRow)).one()
        assert (row.event, row.change_type) == kind(name), name
