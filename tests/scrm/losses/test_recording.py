"""Losses are the same in whatever order, and however often, it becomes known what happened."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event as sa_event
from sqlalchemy import text

from scrm.conversations.models import Channel, Direction
from scrm.conversations.service.messages import NewMessage, store_messages
from scrm.kernel.clock import utcnow
from scrm.kernel.db import db, transaction
from scrm.kernel.events import publish
from scrm.kernel.turns import place_of
from scrm.losses.jobs import fill_losses
from scrm.losses.models import RelationFact
from scrm.staff.events import StaffMerged
from tags.models import Tag, TagAssignment, TagGroup
from tests.profiles import examples
from tests.scrm.losses.conftest import (
    TRANSFER,
    add,
    at,
    customer_id,
    deleted,
    facts,
    left,
    losses,
    record,
    seen,
)

STORY = [
    add(0, state="ch1"),
    left(10),
    deleted(11),
    add(20, half=True),
    add(21, state="ch2"),
    deleted(30),
    add(40),
]


def tell_one_by_one(story):
    for fact in story:
        record(fact)


def test_each_stay_that_ends_is_one_loss_by_whoever_ended_it_first(people):
    tell_one_by_one(STORY)
    assert facts() == [("customer", 10, 0, 20), ("staff", 30, 20, 40)]
    assert [row.state for row in losses()] == ["ch1", "ch2"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::3])
def test_every_order_gives_the_same(people, order):
    story = [STORY[0], STORY[1], STORY[4], STORY[5]]
    tell_one_by_one([story[place] for place in order] + [story[order[0]]])
    assert facts() == [("customer", 10, 0, 21), ("staff", 30, 21, None)]
    assert [row.state for row in losses()] == ["ch1", "ch2"]


def test_all_at_once_is_the_same_too(people):
    record(*STORY, *STORY)
    assert facts() == [("customer", 10, 0, 20), ("staff", 30, 20, 40)]


def test_a_loss_keeps_its_row_while_facts_come_in(people):
    record(left(10))
    [row] = losses()
    tell_one_by_one(reversed(STORY))
    assert losses()[0].id == row.id


def test_a_transfer_is_no_loss_and_ends_the_stay(people):
    record(add(0), deleted(10, source=TRANSFER))
    assert facts() == []
    record(add(20), left(30))
    assert facts() == [("customer", 30, 20, None)]


def test_a_transfer_that_was_found_before_it_was_told_is_taken_back(people):
    record(add(0))
    seen(15)
    assert [(row.lost_by, row.found) for row in losses()] == [("staff", True)]
    record(deleted(10, source=TRANSFER))
    assert facts() == []


def test_a_deletion_that_was_found_before_it_was_told_is_one_loss_at_the_told_time(people):
    record(add(0))
    seen(15)
    [row] = losses()
    record(deleted(10))
    assert [(one.id, one.found) for one in losses()] == [(row.id, False)]
    assert facts() == [("staff", 10, 0, None)]


def test_what_was_told_goes_before_what_was_found_even_when_clocks_differ(people):
    record(add(-100))
    seen(9)
    record(deleted(10))
    assert [(one.found, *fact) for one, fact in zip(losses(), facts(), strict=True)] == [
        (False, "staff", 10, -100, None)
    ]


def test_a_relation_that_could_not_be_seen_for_a_while_was_never_lost(people):
    seen(1, ("zs", -100))
    seen(15)
    assert len(losses()) == 1
    seen(20, ("zs", -100))
    assert facts() == []
    record(left(25))
    assert facts() == [("customer", 25, -100, None)]


def test_a_return_that_only_wecom_showed_counts(people):
    record(add(0), left(10))
    seen(20, ("zs", 15))
    assert facts() == [("customer", 10, 0, 15)]


def test_adds_known_from_wecom_only_are_kept_when_newer_ones_come_first(people):
    seen(-5, ("zs", -100, "old"))
    tell_one_by_one([add(20, state="new"), left(10), left(30)])
    assert facts() == [("customer", 10, -100, 20), ("customer", 30, 20, None)]
    assert [row.state for row in losses()] == ["old", "new"]


def test_others_say_whether_it_was_the_last_relation(people):
    record(add(0), add(1, staff="ls"), add(2, who="wm2"))
    record(left(10))
    assert [row.others for row in losses()] == [1]
    record(left(20, staff="ls"))
    assert [row.others for row in losses()] == [1, 0]
    record(left(5, who="wm2"))
    assert [row.others for row in losses(customer_id=customer_id("wm2"))] == [0]


def test_of_two_relations_lost_in_one_second_exactly_one_was_the_last(people):
    record(add(0), add(1, staff="ls"))
    record(left(10, staff="ls"))
    record(left(10))
    assert sorted(row.others for row in losses()) == [0, 1]


@pytest.mark.parametrize("end", [left, deleted, lambda *a, **k: deleted(*a, source=TRANSFER, **k)])
@pytest.mark.parametrize(("minute_of_end", "others"), [(5, 0), (15, 1)])
def test_others_are_those_of_the_moment_of_the_loss_in_every_order(people, end, minute_of_end, others):
    story = [add(0), add(1, staff="ls"), left(10), end(minute_of_end, staff="ls"), add(30, staff="ls")]
    for number, order in enumerate(list(itertools.permutations(story))[::13]):
        who = f"w{end.__name__}{minute_of_end}{number}"
        tell_one_by_one([replace(fact, external_userid=who) for fact in order])
        [row] = [one for one in losses(customer_id=customer_id(who)) if one.staff_id == people["zs"]]
        assert row.others == others, order


def test_an_add_after_the_loss_does_not_make_another_member_have_kept_the_customer(people):
    record(add(0), left(10), add(20, staff="ls"))
    assert [row.others for row in losses()] == [0]


def message(minutes, direction=Direction.IN, who="wm1"):
    key = f"{who}-{minutes}-{direction}"
    return NewMessage(
        Channel.KF, key, at(minutes), direction, "text", text="…", external_userid=who, userid="ls"
    )


def test_the_last_contact_is_the_newest_message_before_the_loss_whenever_it_is_stored(people):
    record(add(0))
    with transaction():
        store_messages([message(5), message(12)])
    record(left(10))
    [row] = losses()
    assert (row.last_contact_at, row.last_contact_by) == (at(5), "customer")
    with transaction():
        store_messages([message(7, Direction.OUT), message(11), message(8, Direction.EVENT)])
    [row] = losses()
    assert (row.last_contact_at, row.last_contact_by) == (at(7), "staff")
    assert row.last_contact_staff_id == people["ls"]


def test_tags_are_counted_once(people, session):
    record(add(0))
    follow = session.execute(text("SELECT id, customer_id FROM follows")).one()
    group = TagGroup(name="g")
    session.add(group)
    session.flush()
    for number, state in enumerate(("active", "pending_add", "removed")):
        tag = Tag(group_id=group.id, name=f"t{number}")
        session.add(tag)
        session.flush()
        session.add(
            TagAssignment(
                customer_id=follow.customer_id, follow_id=follow.id, tag_id=tag.id, state=state, changed_at=utcnow()
            )
        )  # fmt: skip
    session.flush()
    record(left(10))
    assert [row.tags for row in losses()] == [2]


def test_two_rows_of_one_member_are_one_and_no_loss_comes_of_it(people, session):
    record(add(0), left(10), add(20))
    record(add(0, staff="ls"), left(10, staff="ls"), left(30, staff="ls"))
    record(left(5, who="wm2", staff="ls"))
    with transaction():
        publish(StaffMerged(people["zs"], people["ls"]))
    assert {row.staff_id for row in losses()} == {people["zs"]}
    assert facts() == [("customer", 5, None, None), ("customer", 10, 0, 20), ("customer", 30, 20, None)]
    assert session.query(RelationFact).filter_by(staff_id=people["ls"]).count() == 0


def forget(session, since):
    """As if nothing since then had been worked out."""
    with transaction():
        session.execute(text("DELETE FROM losses WHERE lost_at > :since"), {"since": since})
        session.execute(text("DELETE FROM loss_facts WHERE at > :since"), {"since": since})


def test_losses_from_before_there_were_losses_are_filled_once(people, session):
    record(*STORY, add(0, who="wm2"), deleted(5, who="wm2", source=TRANSFER), left(3, who="wm3"))
    forget(session, at(-1000))
    fill_losses()
    known = [("customer", 3, None, None), ("staff", 30, 20, 40)]
    assert [row for row in facts() if row[1] in (3, 30)] == known
    assert {row.found for row in losses()} == {True}
    before = [(row.id, row.updated_at) for row in losses()]
    fill_losses()
    assert [(row.id, row.updated_at) for row in losses()] == before


def test_a_fill_that_goes_on_after_a_kill_ends_with_the_same(people, session, monkeypatch):
    record(*(left(number, who=f"wm{number}") for number in range(1, 8)))
    whole = facts()
    assert len(whole) == 7
    forget(session, at(3))
    monkeypatch.setattr("scrm.losses.jobs.CHUNK", 2)
    fill_losses()
    assert facts() == whole


def test_a_fill_goes_on_where_its_last_turn_ended_although_the_next_was_lost(
    people, session, redis, monkeypatch
):
    record(*(left(number, who=f"wm{number}") for number in range(1, 5)))
    whole = facts()
    forget(session, at(0))
    monkeypatch.setattr("scrm.losses.jobs.FOLLOWS", 1)
    monkeypatch.setattr("scrm.losses.jobs.FILL_SECONDS", 0)
    found, places = [], []
    for _ in range(5):
        fill_losses()
        redis.flushdb()
        found.append(len(facts()))
        places.append(place_of(fill_losses))
    assert found == [1, 2, 3, 4, 4]
    assert facts() == whole
    assert places[3:] == [max(places), 0]


def test_a_fill_costs_no_more_where_numbers_were_left_out(people, session):
    record(left(1, who="wm1"))
    whole = facts()
    session.execute(text("SET LOCAL session_replication_role = replica"))  # nobody follows the number
    session.execute(text("UPDATE follows SET id = id + 1000000000000"))
    session.execute(text("SET LOCAL session_replication_role = origin"))
    forget(session, at(0))
    fill_losses()
    assert facts() == whole


def test_a_thousand_losses_cost_the_same_number_of_statements_as_ten(people):
    def statements(count, offset):
        found = []
        listener = lambda *arguments: found.append(arguments[2])  # noqa: E731
        record(*(add(0, who=f"wm{offset + number}") for number in range(count)))
        sa_event.listen(db.engine, "before_cursor_execute", listener)
        try:
            record(*(left(10, who=f"wm{offset + number}") for number in range(count)))
        finally:
            sa_event.remove(db.engine, "before_cursor_execute", listener)
        return len([one for one in found if "loss" in one])

    assert 3 <= statements(1000, 5000) == statements(10, 100) <= 12


# What really happened to one relation, as moves of a game; losses are noted as they happen, by other code than ours.

MOVES = st.lists(
    st.tuples(st.sampled_from(["add", "half", "left", "deleted", "transferred"]), st.integers(1, 5)),
    max_size=9,
)


def play(moves):
    """(facts told, losses) of one relation; the losses as :func:`facts` says them."""
    told, ended, clock, inside, over = [], [], 0, None, False
    for move, minutes in moves:
        clock += minutes
        if move in ("add", "half"):
            told.append((move, clock))
            if inside is None or over:
                inside, over = clock, False
                for number, loss in enumerate(ended):
                    ended[number] = (*loss[:3], clock) if loss[3] is None else loss
        else:
            told.append((move, clock))
            if not over:
                if move != "transferred":
                    ended.append(("customer" if move == "left" else "staff", clock, inside, None))
                inside, over = None, True
    return told, ended


def as_fact(kind, minutes, who):
    if kind in ("add", "half"):
        return add(minutes, who=who, half=kind == "half")
    if kind == "left":
        return left(minutes, who=who)
    return deleted(minutes, who=who, source=TRANSFER if kind == "transferred" else None)


counter = itertools.count(10_000)


@given(moves=MOVES, data=st.data())
@examples(60)
def test_whatever_happened_order_and_repetition_do_not_change_the_losses(people, moves, data):
    who = f"wm{next(counter)}"
    told, ended = play(moves)
    order = data.draw(
        st.permutations(
            told + data.draw(st.lists(st.sampled_from(told), max_size=3) if told else st.just([]))
        )
    )
    cut = data.draw(st.integers(0, len(order)))
    if order[:cut]:
        record(*(as_fact(kind, minutes, who) for kind, minutes in order[:cut]))
    for kind, minutes in order[cut:]:
        record(as_fact(kind, minutes, who))
    found = facts(list(losses(customer_id=customer_id(who)))) if told else []
    assert found == ended
