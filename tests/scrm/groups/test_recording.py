"""Callbacks of groups: the version chain, every order, and each join and leave told once."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from sqlalchemy import select, text

from scrm.customers.service.wanting import ensure_customers
from scrm.groups.events import GroupChanged, GroupJoined, GroupLeft
from scrm.groups.models import CustomerGroup, GroupStay
from scrm.groups.service.details import GroupSeen, MemberSeen, apply_groups, want_groups
from scrm.groups.service.recording import GroupEvent, GroupFact, follow_chain, record_group_events
from scrm.kernel import events
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KINDS = (GroupChanged, GroupJoined, GroupLeft)


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def joined(seconds, who, last, current):
    return GroupEvent("wr1", GroupFact.JOINED, at(seconds), tuple(who.split()), None, (last, current))


def left(seconds, who, last, current, scene=0):
    return GroupEvent("wr1", GroupFact.LEFT, at(seconds), tuple(who.split()), scene, (last, current))


def record(*told):
    with transaction():
        record_group_events(told)


def show(version, members, seconds=0, stored=None, **fields):
    """WeCom shows the group with (id, join second) members, asked at ``seconds``."""
    rows = tuple(MemberSeen(who, 2, at(when), name=who.upper()) for who, when in members.items())
    values = {"name": "VIP", "notice": None, "owner_userid": "zs", "founded_at": at(-100), **fields}
    with transaction():
        if stored is None:
            want_groups(["wr1"])
        apply_groups(
            [GroupSeen("wr1", version=version, members=rows, stored_version=stored, **values)], at(seconds)
        )


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


def group(session):
    session.expire_all()
    return session.scalars(select(CustomerGroup)).one()


def present(session):
    session.expire_all()
    return sorted(session.scalars(select(GroupStay.member_id).where(GroupStay.left_at.is_(None))))


def test_events_that_fit_the_version_are_applied_at_once(session, heard):
    show("v1", {"wmA": -50})
    record(joined(0, "wmB wmC", "v1", "v2"))
    record(left(5, "wmA", "v2", "v3", scene=1))
    assert present(session) == ["wmB", "wmC"]
    assert (group(session).member_version, group(session).refresh_attempts) == ("v3", 0)
    assert session.scalar(select(GroupStay.quit_scene).where(GroupStay.member_id == "wmA")) == 1
    assert [(type(one).__name__, one.at) for one in heard if not isinstance(one, GroupChanged)] == [
        ("GroupJoined", at(-50)), ("GroupJoined", at(0)), ("GroupJoined", at(0)), ("GroupLeft", at(5)),
    ]  # fmt: skip


def test_a_chain_within_one_batch_is_followed_whatever_its_order(session, heard):
    chain = [joined(0, "wmB", "v1", "v2"), joined(0, "wmC", "v2", "v3"), left(1, "wmA", "v3", "v4")]
    for order in permutations(chain):
        session.execute(text("DELETE FROM customer_groups"))
        show("v1", {"wmA": -50})
        record(*order)
        assert present(session) == ["wmB", "wmC"]
        assert group(session).member_version == "v4"


def test_a_gap_is_not_guessed_but_read_from_wecom(session, heard):
    show("v1", {"wmA": -50})
    record(joined(0, "wmC", "v2", "v3"))
    assert present(session) == ["wmA"]
    wanted = group(session)
    assert (wanted.member_version, wanted.expected_version) == ("v1", "v3")
    assert utcnow() < wanted.refresh_after < utcnow() + timedelta(seconds=2)
    show("v3", {"wmA": -50, "wmB": -1, "wmC": 0}, 2, stored="v1")
    assert present(session) == ["wmA", "wmB", "wmC"]
    assert len(told(heard, GroupJoined)) == 3


def test_the_same_event_again_changes_nothing_and_tells_nothing(session, heard):
    show("v1", {"wmA": -50})
    for _ in range(3):
        record(joined(0, "wmB", "v1", "v2"))
    assert present(session) == ["wmA", "wmB"]
    assert len(told(heard, GroupJoined)) == 2
    show("v2", {"wmA": -50, "wmB": 1}, 60, stored="v2")
    assert len(told(heard, GroupJoined)) == 2
    assert session.scalar(select(GroupStay.name).where(GroupStay.member_id == "wmB")) == "WMB"


def test_all_orders_of_a_groups_events_end_in_the_same_members_after_a_read(session, heard):
    history = [
        GroupEvent("wr1", GroupFact.FOUNDED, at(-100)),
        joined(0, "wmB", "v1", "v2"),
        left(20, "wmB", "v2", "v3"),
        joined(40, "wmB wmC", "v3", "v4"),
    ]
    for order in permutations(history):
        session.execute(text("DELETE FROM customer_groups"))
        heard.clear()
        for event in order:
            record(event)
        for _ in range(6):
            show("v4", {"wmA": -50, "wmB": 40, "wmC": 40}, 100, stored=group(session).member_version)
        assert present(session) == ["wmA", "wmB", "wmC"], order
        assert group(session).member_version == "v4"
        assert [one.change for one in told(heard, GroupChanged)] == ["founded"]


def test_wecom_lagging_behind_its_own_event_is_asked_again_and_believed_in_the_end(session, heard):
    show("v1", {"wmA": -50})
    record(joined(0, "wmB", "v1", "v2"))
    for attempt in range(1, 6):
        show("v1", {"wmA": -50}, 30, stored="v2")
        assert present(session) == ["wmA", "wmB"]
        assert group(session).refresh_attempts == attempt
    show("v1", {"wmA": -50}, 30, stored="v2")
    assert present(session) == ["wmA"]
    assert group(session).member_version == "v1"


def test_a_group_that_changed_while_it_was_read_is_read_again(session, heard):
    show("v1", {"wmA": -50})
    record(joined(0, "wmB", "v1", "v2"))
    show("v1", {"wmA": -50}, 30, stored="v1")
    assert present(session) == ["wmA", "wmB"]
    assert group(session).refresh_wanted_at is not None


def test_who_came_back_has_two_stays(session, heard):
    show("v1", {"wmA": 0})
    show("v3", {"wmA": 500}, 600, stored="v1")
    stays = session.execute(
        select(GroupStay.joined_at, GroupStay.left_at).order_by(GroupStay.joined_at)
    ).all()
    assert stays == [(at(0), at(500)), (at(500), None)]
    assert (len(told(heard, GroupJoined)), len(told(heard, GroupLeft))) == (2, 1)


def test_who_is_no_longer_shown_has_left_by_then_and_who_just_joined_is_not_doubted(session, heard):
    show("v1", {"wmA": 0, "wmB": 0})
    record(joined(95, "wmC", "v1", "v2"))
    show("v2", {"wmA": 0}, 100, stored="v2")
    assert present(session) == ["wmA", "wmC"]
    assert [one.at for one in told(heard, GroupLeft)] == [at(100)]


def test_a_dismissed_group_is_empty_and_stays_so(session, heard):
    show("v1", {"wmA": -50})
    for _ in range(2):
        record(GroupEvent("wr1", GroupFact.DISMISSED, at(9)))
    record(joined(3, "wmB", "v1", "v2"), GroupEvent("wr1", GroupFact.FOUNDED, at(-100)))
    assert present(session) == []
    assert (group(session).status, group(session).dismissed_at) == ("dismissed", at(9))
    assert group(session).refresh_wanted_at is None
    assert [one.change for one in told(heard, GroupChanged)] == ["founded", "dismissed"]
    assert len(told(heard, GroupLeft)) == 1


def test_changes_of_name_owner_and_notice_are_told_once_each(session, heard):
    show("v1", {})
    record(GroupEvent("wr1", GroupFact.CHANGED, at(0)))
    assert group(session).refresh_wanted_at is not None
    for _ in range(2):
        show("v1", {}, 9, stored="v1", name="Gold", notice="hi", owner_userid="ls")
    assert sorted(one.change for one in told(heard, GroupChanged)) == ["founded", "name", "notice", "owner"]


def test_members_who_are_customers_are_linked_when_they_join(session, heard):
    id_ = ensure_customers(["wmB"])["wmB"]
    show("v1", {"wmA": -50})
    record(joined(0, "wmB wmX", "v1", "v2"))
    assert sorted(one.customer_id or 0 for one in told(heard, GroupJoined)) == [0, 0, id_]


def test_two_steps_of_one_person_in_one_second_are_left_to_wecom():
    step = follow_chain("v1", [joined(0, "wmB", "v1", "v2"), left(0, "wmB", "v2", "v3")])
    assert (len(step.applied), step.version, step.expected) == (1, "v2", "v3")
    assert follow_chain(None, [joined(0, "wmB", "v1", "v2")]).expected == "v2"
