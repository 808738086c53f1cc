"""The timeline: once only, counted once, written by what happens in other packages."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event as sa_event
from sqlalchemy import select

from scrm.conversations.events import MessageLinked, MessageStored
from scrm.conversations.models import Channel, Direction
from scrm.customers.events import LostBy
from scrm.customers.service.recording import Add, Deletion, TransferFailure, record_adds, record_deletions
from scrm.customers.service.recording import record_transfer_failures as record_failures
from scrm.customers.service.wanting import ensure_customers
from scrm.groups.models import CustomerGroup
from scrm.groups.service.details import GroupSeen, MemberSeen, apply_groups, want_groups
from scrm.groups.service.recording import GroupEvent, GroupFact, record_group_events
from scrm.kernel.db import transaction
from scrm.kernel.events import publish
from scrm.portraits.models import CustomerCounters, TimelineEntry
from scrm.portraits.service import Entry, EntryKind, add_entries

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds):
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def who(session):
    return ensure_customers(["wm1"])["wm1"]


def timeline(session):
    session.expire_all()
    rows = session.scalars(select(TimelineEntry).order_by(TimelineEntry.at, TimelineEntry.kind))
    return [(row.kind, row.at, row.details) for row in rows]


def counters(session, who):
    session.expire_all()
    row = session.get(CustomerCounters, who)
    return row and (
        row.entries,
        row.messages_in,
        row.messages_out,
        row.last_in_at,
        row.last_out_at,
        row.last_entry_at,
    )


def test_an_entry_is_written_and_counted_once(session, who):
    entries = [
        Entry(who, at(0), EntryKind.MESSAGE_IN, {"message_id": 1}, "message:1"),
        Entry(who, at(9), EntryKind.MESSAGE_OUT, {}, "message:2"),
        Entry(who, at(5), "tag.added", {"tag_ids": [1]}, "tag:1"),
    ]
    for batch in (entries, entries[:1] * 2, entries):
        add_entries(batch)
    assert [row[0] for row in timeline(session)] == ["message.in", "tag.added", "message.out"]
    assert counters(session, who) == (3, 1, 1, at(0), at(9), at(9))
    add_entries([Entry(who, at(2), EntryKind.MESSAGE_IN, {}, "message:3")])
    assert counters(session, who) == (4, 2, 1, at(2), at(9), at(9))


def test_any_number_of_entries_is_one_statement(session, who):
    counted = []
    connection = session.connection()
    sa_event.listen(connection, "before_cursor_execute", lambda *args: counted.append(args[2]))
    add_entries([Entry(who, at(n), "x", {}, f"x:{n}") for n in range(500)])
    assert len(counted) == 1
    assert counters(session, who)[0] == 500


def test_what_happens_to_relations_is_in_the_timeline_in_whatever_order_it_is_heard(session):
    facts = [
        lambda: record_adds([Add("zs", "wm1", at(0), half=True, state="c1")]),
        lambda: record_adds([Add("zs", "wm1", at(4))]),
        lambda: record_deletions([Deletion("zs", "wm1", at(10), LostBy.CUSTOMER)]),
        lambda: record_adds([Add("zs", "wm1", at(20))]),
        lambda: record_deletions([Deletion("zs", "wm1", at(30), LostBy.STAFF, "DELETE_BY_TRANSFER")]),
        lambda: record_failures([TransferFailure("zs", "wm1", at(40), "customer_refused")]),
    ]
    for fact in (*reversed(facts), *facts):
        with transaction():
            fact()
    assert timeline(session) == [
        ("follow.half_added", at(0), {"state": "c1"}),
        ("follow.added", at(4), {}),
        ("follow.lost_by_customer", at(10), {}),
        ("follow.added", at(20), {}),
        ("follow.lost_by_staff", at(30), {"source": "DELETE_BY_TRANSFER"}),
        ("follow.transfer_failed", at(40), {"reason": "customer_refused"}),
    ]


def test_customers_in_groups_get_entries_also_when_they_become_customers_later(session, who):
    with transaction():
        want_groups(["wr1"])
        members = (MemberSeen("wm1", 2, at(0)), MemberSeen("wm2", 2, at(0)))
        apply_groups([GroupSeen("wr1", "VIP", None, None, None, "v1", members)], at(60))
        record_group_events([GroupEvent("wr1", GroupFact.LEFT, at(90), ("wm2",), 0, ("v1", "v2"))])
    group_id = session.scalar(select(CustomerGroup.id))
    assert timeline(session) == [("group.joined", at(0), {"group_id": group_id})]
    with transaction():
        ensure_customers(["wm2"])
    assert [row[0] for row in timeline(session)] == ["group.joined", "group.joined", "group.left"]


def test_messages_of_customers_are_entries_and_counted(session, who):
    told = [
        MessageStored(7, at(0), Channel.KF, Direction.IN, who, None),
        MessageStored(8, at(1), Channel.KF, Direction.OUT, who, None),
        MessageStored(9, at(2), Channel.KF, Direction.EVENT, who, None),
        MessageStored(10, at(3), Channel.APP, Direction.IN, None, 1),
    ]
    for _ in range(2):
        with transaction():
            publish(*told)
    assert timeline(session)[0] == ("message.in", at(0), {"message_id": 7, "channel": "kf"})
    assert counters(session, who) == (3, 1, 1, at(0), at(1), at(2))
    with transaction():
        publish(MessageLinked(6, at(-1), Channel.KF, Direction.IN, who, None))
    assert ("message.in", at(-1), {"message_id": 6, "channel": "kf"}) in timeline(session)
    assert counters(session, who) == (4, 2, 1, at(0), at(1), at(2))
