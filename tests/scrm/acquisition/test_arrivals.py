"""Adds through a code are counted exactly, whatever order, repetition and batches their callbacks come in."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from sqlalchemy import select

from scrm.acquisition.models import AddKind, ChannelAdd, ChannelCode
from scrm.acquisition.service.arrivals import SAME_ADD
from scrm.customers.events import LostBy
from scrm.customers.service.recording import Add, Deletion, record_adds, record_deletions
from scrm.kernel.db import transaction
from scrm.kernel.events import publish
from tags.models import Tag, TagAssignment, TagGroup, TagSource

START = datetime(2026, 11, 18, tzinfo=UTC)
TRANSFER = "DELETE_BY_TRANSFER"


@pytest.fixture
def code(session):
    """A code that gives a tag; made without WeCom."""
    group = TagGroup(wecom_id="etg", name="来源")
    session.add(group)
    session.flush()
    tag = Tag(wecom_id="ett", group_id=group.id, name="展会")
    session.add(tag)
    session.flush()
    made = ChannelCode(name="展会", state="ch900", staff_ids=[], tag_ids=[tag.id], contact_type=2)
    session.add(made)
    session.commit()
    return made


def history(random, person):
    """A life: adds (half, full, or half then full), losses and returns, each at a second of its own."""
    at, facts = START + timedelta(seconds=person), []
    for _ in range(random.randint(1, 3)):
        at += timedelta(seconds=random.randint(60, 90_000))
        kind = random.choice(["half", "full", "both"])
        if kind != "full":
            facts.append((at, AddKind.HALF))
        if kind == "both":
            at += timedelta(seconds=random.randint(1, 4000))
        if kind != "half":
            facts.append((at, AddKind.FULL))
        if random.random() < 0.8:
            at += timedelta(seconds=random.randint(60, 900_000))
            facts.append((at, random.choice(["staff", "customer", "transfer"])))
    return facts


def expected(facts):
    """What follows from a life, worked out in order: (at, counts, returns, lost_at, lost_by) of each add."""
    rows, span, lost = [], [], False
    for at, what in sorted(facts):
        if isinstance(what, AddKind):
            last = span[-1] if span else None
            rest = last is not None and (
                (last[1], what) == (AddKind.HALF, AddKind.FULL) or at - last[0] <= SAME_ADD
            )
            row = [at, not rest, lost, None, None]
            span.append((at, what, row))
            rows.append(row)
            continue
        if counted := [row for _, _, row in span if row[1]]:
            counted[-1][3:] = [at, what]  # the last add that counts knows of the loss
        span, lost = [], True
    return rows


def deliver(facts, person):
    """One callback of each kind through the real recorder."""
    for at, what in facts:
        if isinstance(what, AddKind):
            record_adds([Add("staff1", f"wm{person}", at, what is AddKind.HALF, "ch900")])
        else:
            by = LostBy.CUSTOMER if what == "customer" else LostBy.STAFF
            source = TRANSFER if what == "transfer" else None
            record_deletions([Deletion("staff1", f"wm{person}", at, by, source)])


def rows_of(session):
    found = session.scalars(select(ChannelAdd).order_by(ChannelAdd.follow_id, ChannelAdd.at))
    lives = {}
    for add in found:
        row = [add.at, add.counts, add.returns]
        lives.setdefault(add.follow_id, []).append(
            row + ([add.lost_at, add.lost_by] if add.counts else [None, None])
        )
    return sorted(lives.values())


@pytest.mark.parametrize("seed", range(4))
def test_any_order_any_repetition_and_any_batching_count_the_same(session, code, seed):
    random = Random(seed)
    lives = {person: history(random, person) for person in range(25)}
    callbacks = [
        (person, fact)
        for person, facts in lives.items()
        for fact in facts
        for _ in range(random.randint(1, 2))
    ]
    random.shuffle(callbacks)
    while callbacks:
        with transaction():
            for person, fact in [callbacks.pop() for _ in range(min(len(callbacks), random.randint(1, 12)))]:
                deliver([fact], person)
    session.expire_all()
    assert rows_of(session) == sorted(expected(facts) for facts in lives.values())


def tags(session):
    return session.scalars(select(TagAssignment.follow_id)).all()


def forget_tags(session):
    session.query(TagSource).delete()
    session.query(TagAssignment).delete()


def test_a_late_callback_of_the_past_counts_but_gives_no_tags_again(session, code):
    with transaction():
        deliver([(START, AddKind.FULL)], 1)
    assert len(tags(session)) == 1
    with transaction():
        forget_tags(session)
    for late in [(START - timedelta(days=3), AddKind.FULL), (START - timedelta(days=2), "customer")]:
        with transaction():
            deliver([late], 1)
    assert tags(session) == []
    session.expire_all()
    assert [(row[1], row[2], row[4]) for row in rows_of(session)[0]] == [
        (True, False, "customer"),
        (True, True, None),
    ]


def test_the_full_add_after_a_half_one_gives_no_tags_again(session, code):
    with transaction():
        deliver([(START, AddKind.HALF)], 1)
    with transaction():
        forget_tags(session)
    with transaction():
        deliver([(START + timedelta(minutes=9), AddKind.FULL)], 1)
    assert tags(session) == []


def test_an_add_that_was_seen_first_and_told_later_is_one(session, code):
    from scrm.customers.events import FollowChanged
    from scrm.customers.models import Follow

    with transaction():
        record_adds([Add("staff1", "wm1", START)])
        follow = session.scalars(select(Follow)).one()
        follow.state = "ch900"
        session.flush()
        publish(FollowChanged(follow.id, follow.customer_id, follow.staff_id))
    assert len(tags(session)) == 1
    with transaction():
        forget_tags(session)
    with transaction():
        deliver([(START + timedelta(seconds=1), AddKind.FULL)], 1)
    session.expire_all()
    kinds = session.execute(select(ChannelAdd.kind, ChannelAdd.counts).order_by(ChannelAdd.at)).all()
    assert [tuple(kind) for kind in kinds] == [("seen", False), ("full", True)]
    assert tags(session) == []


def test_coming_back_by_another_way_is_no_add_of_the_old_code(session, code):
    from scrm.customers.events import FollowChanged
    from scrm.customers.models import Follow

    with transaction():
        deliver([(START, AddKind.FULL), (START + timedelta(hours=1), "customer")], 1)
    with transaction():
        record_adds([Add("staff1", "wm1", START + timedelta(hours=2))])
        follow = session.scalars(select(Follow)).one()
        publish(FollowChanged(follow.id, follow.customer_id, follow.staff_id))
    session.expire_all()
    assert len(rows_of(session)[0]) == 1
