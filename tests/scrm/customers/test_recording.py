"""What happened to relations: every order, repetition and gap gives the same state, and each add is told once."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event as sa_event
from sqlalchemy import func, select, text

from scrm.customers.events import (
    ContactFact,
    ContactRecorded,
    CustomerChanged,
    FollowAdded,
    FollowChanged,
    FollowLost,
    LostBy,
)
from scrm.customers.models import Customer, Follow
from scrm.customers.service.details import CustomerSeen, FollowSeen, apply_details
from scrm.customers.service.recording import (
    Add,
    Deletion,
    TransferFailure,
    ensure_follows,
    record_adds,
    record_deletions,
    record_transfer_failures,
)
from scrm.customers.service.wanting import want_refresh
from scrm.kernel import events
from scrm.kernel.db import transaction
from scrm.portraits.models import CustomerCounters, TimelineEntry
from tests.profiles import examples

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KINDS = (FollowAdded, FollowLost, FollowChanged, CustomerChanged, ContactRecorded)


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def add(seconds, who="wm1", half=False, state=None, staff="zs"):
    return Add(staff, who, at(seconds), half, state)


def lost(seconds, by=LostBy.STAFF, source=None):
    return Deletion("zs", "wm1", at(seconds), by, source)


def failed(seconds, reason="customer_refused"):
    return TransferFailure("zs", "wm1", at(seconds), reason)


def record(*facts):
    with transaction():
        for kind, service in (
            (Add, record_adds),
            (Deletion, record_deletions),
            (TransferFailure, record_transfer_failures),
        ):
            service([fact for fact in facts if isinstance(fact, kind)])


@pytest.fixture
def heard(session):
    seen = []
    for kind in KINDS:
        events._subscribers[kind].insert(0, seen.extend)
    yield seen
    for kind in KINDS:
        events._subscribers[kind].remove(seen.extend)


def told(heard, kind):
    return [one for one in heard if isinstance(one, kind)]


def status(session):
    session.expire_all()
    return session.scalar(select(Follow.status))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ([add(0)], "active"),
        ([add(0, half=True)], "half"),
        ([add(0, half=True), add(5)], "active"),
        ([add(0, half=True), add(0)], "active"),
        ([add(0), lost(5)], "deleted_by_staff"),
        ([add(0), lost(0)], "deleted_by_staff"),
        ([add(0), lost(5, LostBy.CUSTOMER)], "deleted_by_customer"),
        ([add(0), lost(5, LostBy.CUSTOMER), lost(9)], "deleted_by_staff"),
        ([add(0), lost(5), add(9)], "active"),
        ([add(0), lost(5), add(9, half=True)], "half"),
        ([add(0), lost(5, LostBy.CUSTOMER), add(9)], "active"),
        ([failed(3)], "unknown"),
    ],
)
def test_the_status_follows_from_the_newest_times_in_every_order(session, facts, expected):
    for order in permutations(facts):
        session.execute(text("DELETE FROM follows"))
        for fact in order:
            record(fact)
        assert status(session) == expected, order


def test_an_add_is_told_once_however_often_it_arrives(session, heard):
    record(add(0), add(0))
    record(add(0))
    follow = session.scalars(select(Follow)).one()
    assert told(heard, FollowAdded) == [FollowAdded(follow.id, follow.customer_id, follow.staff_id, at(0))]


def test_a_half_add_and_the_full_add_that_completes_it_are_one(session, heard):
    for order in permutations([add(0, half=True), add(4)]):
        heard.clear()
        session.execute(text("DELETE FROM follows"))
        for fact in order:
            record(fact)
        assert len(told(heard, FollowAdded)) == 1, order
    heard.clear()
    session.execute(text("DELETE FROM follows"))
    record(add(0, half=True), add(0), add(4))
    assert [one.at for one in told(heard, FollowAdded)] == [at(0)]


def test_coming_back_after_a_loss_is_told_again_even_when_the_loss_is_heard_of_late(session, heard):
    for order in ([add(0), lost(5), add(9)], [add(0), add(9), lost(5)]):
        heard.clear()
        session.execute(text("DELETE FROM follows"))
        for fact in order:
            record(fact)
        assert [one.at for one in told(heard, FollowAdded)] == [at(0), at(9)], order


def test_two_customers_added_in_the_same_second_by_the_same_member_are_two(session, heard):
    ids = record_adds([add(0, "wm1"), add(0, "wm2")])
    events.deliver()
    assert set(ids) == {("zs", "wm1"), ("zs", "wm2")}
    assert len(told(heard, FollowAdded)) == 2


def test_an_add_first_known_through_wecom_is_only_a_change_and_its_event_is_told_once(session, heard):
    seen = CustomerSeen("wm1", {"name": "Li"}, (FollowSeen("zs", at(0)),), complete=True, settled=True)
    with transaction():
        apply_details([seen], at(30))
    assert told(heard, FollowAdded) == []
    assert len(told(heard, FollowChanged)) == 1
    record(add(0))
    record(add(0))
    assert [one.at for one in told(heard, FollowAdded)] == [at(0)]


def test_a_loss_is_told_once_and_says_who(session, heard):
    record(add(0))
    record(lost(5, LostBy.CUSTOMER))
    record(lost(5, LostBy.CUSTOMER))
    record(lost(9, source="DELETE_BY_TRANSFER"))
    assert [(one.by, one.at) for one in told(heard, FollowLost)] == [
        (LostBy.CUSTOMER, at(5)),
        (LostBy.STAFF, at(9)),
    ]
    assert session.scalar(select(Follow.delete_source)) == "DELETE_BY_TRANSFER"


def test_the_history_hears_of_every_fact_even_of_those_that_come_late(session, heard):
    record(add(9), lost(5))
    record(add(0))
    facts = [(one.fact, one.at) for one in told(heard, ContactRecorded)]
    assert sorted(facts) == [
        (ContactFact.ADDED, at(0)),
        (ContactFact.ADDED, at(9)),
        (ContactFact.LOST_BY_STAFF, at(5)),
    ]


def test_a_failed_transfer_keeps_its_newest_reason(session, heard):
    record(failed(9, "customer_limit_exceed"), failed(3))
    record(failed(3))
    follow = session.scalars(select(Follow)).one()
    assert (follow.transfer_failed_at, follow.transfer_fail_reason) == (at(9), "customer_limit_exceed")
    assert len(told(heard, FollowChanged)) == 1


def test_every_event_asks_wecom_for_the_present_state(session):
    record(add(0, "wm1"), lost(0), failed(0))
    want_refresh(["wm2", "wm2", ""])
    wanted = session.execute(select(Customer.external_userid, Customer.refresh_wanted_at.isnot(None))).all()
    assert sorted(wanted) == [("wm1", True), ("wm2", True)]


def test_relations_can_be_ensured_without_saying_anything_about_them(session):
    made = ensure_follows([("ZS", "wm1"), ("zs", "wm1"), ("ls", "wm1")])
    assert made == ensure_follows([("zs", "wm1"), ("LS", "wm1")])
    assert len(set(made.values())) == 2
    assert set(session.scalars(select(Follow.status))) == {"unknown"}


@pytest.mark.parametrize(
    "facts",
    [
        [add(0, state="a"), add(0, state="b"), add(0)],
        [add(0, state="b"), add(4, state="a"), add(9)],
        [lost(0, source="T"), lost(0), lost(0, source="S")],
        [failed(0), failed(0, "customer_limit_exceed"), failed(-3)],
    ],
)
def test_values_told_in_the_same_second_end_the_same_in_every_order(session, facts):
    ends = [play(session, [[fact] for fact in order]) for order in permutations(facts)]
    assert all(end == ends[0] for end in ends)


FACTS = st.lists(
    st.one_of(
        st.builds(add, st.integers(0, 4), half=st.booleans(), state=st.sampled_from([None, "a", "b"])),
        st.builds(lost, st.integers(0, 4), st.sampled_from(list(LostBy)), st.sampled_from([None, "T"])),
        st.builds(failed, st.integers(0, 4), st.sampled_from(["customer_refused", "customer_limit_exceed"])),
    ),
    min_size=1,
    max_size=6,
)


STATE = [
    "status", "half_added_at", "added_at", "add_event_at", "confirmed_at", "deleted_by_staff_at",
    "deleted_by_customer_at", "delete_source", "transfer_failed_at", "transfer_fail_reason", "state", "state_at", "remark",
]  # fmt: skip


def snapshot(session):
    """Relations, timeline and counters: all that may depend on the order of events."""
    session.expire_all()
    who = session.scalar(select(Customer.id))
    follows = [{name: getattr(f, name) for name in STATE} for f in session.scalars(select(Follow))]
    entries = session.execute(
        select(TimelineEntry.at, TimelineEntry.kind, TimelineEntry.details).where(
            TimelineEntry.customer_id == who
        )
    )
    counted = session.execute(
        select(CustomerCounters.entries, CustomerCounters.last_entry_at).where(
            CustomerCounters.customer_id == who
        )
    )
    return follows, sorted(map(str, entries)), counted.all()


def play(session, batches):
    session.execute(text("DELETE FROM customers"))
    for batch in batches:
        record(*batch)
    return snapshot(session)


@examples(60)
@given(facts=FACTS, data=st.data(), shown=st.booleans())
def test_any_order_any_repetition_and_any_batching_give_the_same_state(session, heard, facts, data, shown):
    first = play(session, [[fact] for fact in facts])
    order = data.draw(st.permutations(facts + data.draw(st.lists(st.sampled_from(facts), max_size=3))))
    cut = data.draw(st.integers(0, len(order)))
    assert play(session, [order[:cut], order[cut:]]) == first
    heard.clear()
    record(*data.draw(st.permutations(facts)))
    assert told(heard, FollowAdded) + told(heard, FollowLost) + told(heard, FollowChanged) == []
    last = finish(session, shown)
    play(session, [[fact] for fact in facts])
    assert finish(session, shown) == last
    after = {"active", "deleted_by_customer"} if shown else {"half", "unknown", "deleted_by_staff"}
    assert session.scalar(select(Follow.status)) in after


def finish(session, shown):
    follows = (FollowSeen("zs", at(2), remark="Li", state="b"),) if shown else ()
    with transaction():
        apply_details([CustomerSeen("wm1", {"name": "Li"}, follows, complete=True, settled=True)], at(3600))
    return snapshot(session)


def test_a_batch_costs_the_same_number_of_statements_whatever_its_size(session):
    def cost(size):
        counted = []
        connection = session.connection()
        listen = lambda *args: counted.append(args[2])  # noqa: E731
        sa_event.listen(connection, "before_cursor_execute", listen)
        record_adds([add(0, f"wm{size}-{n}", state="s") for n in range(size)])
        sa_event.remove(connection, "before_cursor_execute", listen)
        return len(counted)

    cost(1)
    assert cost(200) == cost(2) <= 4
    assert session.scalar(select(func.count()).select_from(Follow)) == 203
