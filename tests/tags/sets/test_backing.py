"""Sets outlive a Redis that is emptied, and are right all the same."""

from datetime import timedelta

import pytest
from sqlalchemy import event as sql_event
from sqlalchemy import text, update

from scrm.kernel.clock import shifted
from scrm.kernel.db import db, session, transaction
from scrm.kernel.permissions import Scope
from tags.models import TagAssignment
from tags.sets import jobs
from tags.sets.service import backing, store, upkeep
from tags.sets.service.counting import count_tree
from tags.sets.service.memory import memory
from tests.tags.conftest import make_world
from tests.tags.sets.holding import hold

ALL = Scope.all()
LATER = timedelta(minutes=11)


@pytest.fixture
def held(committed):
    """Three customers, two of whom have the tag."""
    world = make_world()
    member, tag = world.staff(), world.tag()
    follows = [world.followed(member, gender=1) for _ in range(3)]
    for follow in follows[:2]:
        hold(follow, tag)
    committed.commit()
    return tag, follows


@pytest.fixture
def statements():
    """What this process asks PostgreSQL."""
    asked = []

    def note(connection, cursor, sent, *rest):
        asked.append(sent)

    sql_event.listen(db.engine, "before_cursor_execute", note)
    yield asked
    sql_event.remove(db.engine, "before_cursor_execute", note)


def count(tag):
    with transaction():
        return count_tree({"kind": "has_tag", "tag_ids": [tag.id]}, ALL)


def empty_redis():
    """As FLUSHALL, and for a process that has just started."""
    memory().clear()
    store.forget([each.digest for each in store.shelved()])
    assert store.shelved() == []


def backed():
    with transaction():
        rows = session().execute(text("SELECT key, as_of, xmin, bits FROM backed_sets")).all()
        return {row.key: (row.as_of, bytes(row.bits)) for row in rows}


def test_a_set_that_redis_lost_is_not_asked_as_a_whole(held, statements):
    tag, follows = held
    assert count(tag).count == 2
    jobs.back_sets()
    assert len(backed()) == 2, "the tag, and everybody"
    empty_redis()
    with db.engine.begin() as other:
        other.execute(
            update(TagAssignment)
            .where(TagAssignment.customer_id == follows[0].customer_id)
            .values(state="removed")
        )
    statements.clear()
    found = count(tag)
    assert (found.count, found.base, found.exact) == (1, 3, True), "and what changed meanwhile is in it"
    of_tags = [sent for sent in statements if "tag_assignments" in sent]
    assert len(of_tags) == 1
    assert "tag_assignments.customer_id = any(" in of_tags[0].lower(), "of who changed only"
    assert len(store.shelved()) == 2, "the next process finds it in Redis"


def test_bits_are_written_again_only_where_they_changed(held, committed):
    tag, follows = held
    count(tag)
    jobs.back_sets()
    first = backed()
    assert not jobs.back_sets.due()
    hold(follows[2], tag)
    committed.commit()
    with shifted(LATER):
        assert not jobs.back_sets.due(), "what is in Redis is no newer"
        count(tag)
        assert jobs.back_sets.due()
        jobs.back_sets()
        assert not jobs.back_sets.due()
    second = backed()
    assert first.keys() == second.keys()
    changed = {key for key in first if first[key][1] != second[key][1]}
    assert [key for key in first if "has_tag" in key] == [*changed]
    assert all(second[key][0] > first[key][0] for key in changed)


def test_workers_begin_with_them_too(held, statements):
    tag, _ = held
    count(tag)
    jobs.back_sets()
    empty_redis()
    statements.clear()
    with transaction():
        upkeep.warm([*backed()])
    assert not [sent for sent in statements if "tag_assignments" in sent]
    assert {each.key for each in store.shelved()} == backed().keys()


def test_those_of_another_database_count_for_nothing(held):
    """A dump that is restored has its sets, and other transaction numbers."""
    tag, _ = held
    count(tag)
    jobs.back_sets()
    with transaction():
        session().execute(text("UPDATE backed_sets SET bits = decode('', 'hex'), base = 'another'"))
    empty_redis()
    assert count(tag).count == 2
    jobs.back_sets()
    with transaction():
        assert set(session().scalars(text("SELECT base FROM backed_sets"))) != {"another"}


def test_a_set_that_was_wrong_and_one_that_is_too_old_are_dropped(held):
    tag, _ = held
    count(tag)
    jobs.back_sets()
    (key,) = [key for key in backed() if "has_tag" in key]
    with db.engine.begin() as other:
        other.execute(text("SET LOCAL session_replication_role = replica"))
        other.execute(update(TagAssignment).values(state="removed"))
    with transaction():
        session().connection(execution_options={"isolation_level": "REPEATABLE READ"})
        assert upkeep.compare([key]) == 2
    assert key not in backed()
    with shifted(timedelta(hours=5)):
        jobs.forget_set_changes()
    assert backed() == {}


def test_no_more_is_kept_than_there_is_room_for(held, monkeypatch):
    tag, _ = held
    count(tag)
    monkeypatch.setattr(backing, "MOST_BYTES", sum(each.bytes for each in store.shelved()) - 1)
    jobs.back_sets()
    assert len(backed()) == 1


def test_sets_that_nobody_wants_any_more_make_room_for_others(held, committed, monkeypatch):
    """Redis holds others every hour; those of before must not pile up until they are hours old."""
    tag, follows = held
    count(tag)
    jobs.back_sets()
    first = backed()
    empty_redis()
    with transaction():
        other = make_world().tag()
        hold(session().merge(follows[0]), other)
    count(other)
    monkeypatch.setattr(backing, "MOST_BYTES", sum(each.bytes for each in store.shelved()))
    with shifted(LATER):
        jobs.back_sets()
    left = backed().keys()
    assert left == {each.key for each in store.shelved()} != first.keys()
    assert not jobs.back_sets.due()
