"""Several workers at once, and workers that die."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from sqlalchemy import delete, func, select, text

from scrm.customers.events import CustomerChanged
from scrm.customers.models import Customer
from scrm.kernel import events
from scrm.kernel.db import session, transaction
from tags.models import Rule, RuleDue, RuleRun, Tag, TagAssignment, TagHistory, TagSource
from tags.rules.jobs import backfill_rules, evaluate_rules
from tags.rules.service import saving
from tags.rules.service.backfilling import CHANGED
from tags.rules.service.evaluating import SHARDS, hold_shards
from tags.rules.service.working import advance_run, evaluate_due
from tags.service import Wish, assign
from tests import nursery
from tests.scrm.wecom.conftest import process_env, process_environment  # noqa: F401  # fixtures
from tests.tags.conftest import make_world
from tests.tags.test_rules import VIP, make_rule

PEOPLE = 24
RUN = """
from config.settings import load_settings
from scrm.bootstrap import create_app
app = create_app(load_settings())
with app.app_context():
    from tags.rules.jobs import backfill_rules
    backfill_rules.func()
"""


@dataclass
class People:
    ids: list[int]
    follow_ids: list[int]
    tag: Tag


@pytest.fixture
def people(committed):
    """Customers of one member and a rule for those named vip; everything committed."""
    with transaction():
        world = make_world()
        staff, tag = world.staff(), world.tag()
        follows = [world.followed(staff, name="x") for _ in range(PEOPLE)]
    make_rule(VIP, tag)
    return People([follow.customer_id for follow in follows], [follow.id for follow in follows], tag)


def name(customer_ids, value):
    with transaction():
        session().execute(
            text("UPDATE customers SET name = :name WHERE id = ANY(:ids)"),
            {"name": value, "ids": customer_ids},
        )
        events.publish(*(CustomerChanged(id_, ("name",)) for id_ in customer_ids))


def tagged():
    """Ids of the customers that carry the rule's tag."""
    with transaction():
        return set(
            session().scalars(
                select(TagAssignment.customer_id)
                .join(TagSource, TagSource.assignment_id == TagAssignment.id)
                .where(TagAssignment.state == "pending_add")
            )
        )


def count(model):
    with transaction():
        return session().scalar(select(func.count()).select_from(model))


def test_two_workers_and_a_writer_never_lose_the_last_word(people, app):
    ids = people.ids
    writing = threading.Event()

    def write():
        with app.app_context():
            for round_ in range(6):
                for part in range(3):
                    name(ids[part::3], "vip" if (round_ + part) % 2 else "x")
        writing.set()

    def work():
        with app.app_context():
            while not writing.is_set():
                evaluate_rules.func()

    with ThreadPoolExecutor(4) as pool:
        for task in [pool.submit(write), *(pool.submit(work) for _ in range(3))]:
            task.result()
    evaluate_rules.func()
    with transaction():
        vips = set(session().scalars(select(Customer.id).where(Customer.name == "vip")))
    assert len(vips) == PEOPLE // 3 * 2
    assert tagged() == vips
    assert count(RuleDue) == 0


def test_a_change_while_the_customer_is_evaluated_is_evaluated_afterwards(people, app):
    ids = people.ids
    name(ids[:1], "vip")
    shard = ids[0] % SHARDS
    with transaction():
        assert evaluate_due(shard) == 1

        def change_meanwhile():
            with app.app_context():
                name(ids[:1], "x")

        with ThreadPoolExecutor(1) as pool:
            pool.submit(change_meanwhile).result(timeout=60)
    assert count(RuleDue) == 1, "it waits, and the writer did not"
    evaluate_rules.func()
    assert tagged() == set()


def test_many_writers_of_the_same_tags_do_not_stop_each_other(people, app):
    tag, rows = people.tag, people.follow_ids

    def write(number):
        with app.app_context():
            for round_ in range(5):
                order = rows if (number + round_) % 2 else rows[::-1]
                with transaction():
                    assign([Wish(follow, tag.id, f"manual:{number}", round_ % 2 == 0) for follow in order])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    with transaction():
        per_row = select(func.count()).select_from(TagSource).group_by(TagSource.assignment_id)
        assert set(session().scalars(per_row)) == {4}
        assert session().scalar(select(func.count()).select_from(TagHistory)) == PEOPLE * 4 * 5


def test_what_a_backfill_saw_before_it_had_the_locks_is_not_written(people, app):
    name(people.ids, "vip")
    with transaction():
        session().execute(delete(RuleDue))
        run = saving.start_backfill(session().scalar(select(Rule.id)))

    def advance():
        with app.app_context(), transaction():
            advance_run(run.id)

    with ThreadPoolExecutor(1) as pool:
        with transaction():
            hold_shards(range(SHARDS))
            slice_ = pool.submit(advance)
            waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            while not session().scalar(waiting):  # it has looked, and waits
                assert not slice_.done()
                time.sleep(0.02)
            gone = people.ids[: PEOPLE // 2]
            session().execute(text("UPDATE customers SET name = 'x' WHERE id = ANY(:ids)"), {"ids": gone})
        slice_.result(timeout=60)
    assert tagged() == set(people.ids) - set(gone)


@pytest.mark.fault
@pytest.mark.parametrize("place", ["backfill_slice", "backfill_slice_done"])
def test_a_killed_backfill_goes_on_and_counts_everybody_once(committed, process_env, place, monkeypatch):  # noqa: F811
    monkeypatch.setattr(saving, "refuse_storm", lambda *_: None)  # another test's business
    with transaction():
        tag = make_world().tag()
        session().execute(text("INSERT INTO staff (userid) VALUES ('s')"))
        session().execute(
            text(
                "INSERT INTO customers (external_userid, name) SELECT 'wm' || g, 'vip' FROM generate_series(1, 2700) g"
            )
        )
        session().execute(
            text(
                "INSERT INTO follows (customer_id, staff_id, added_at) SELECT c.id, s.id, now() FROM customers c, staff s"
            )
        )
    rule = make_rule(VIP, tag)
    with transaction():
        run = saving.start_backfill(rule.id)
    killed = nursery.run(["-c", RUN], {**process_env, "SCRM_CRASH_AT": place})
    assert killed.returncode == -9
    with transaction():
        seen = session().get(RuleRun, run.id, populate_existing=True).seen
    assert seen == (0 if place == "backfill_slice" else CHANGED)
    backfill_rules.func()
    with transaction():
        run = session().get(RuleRun, run.id, populate_existing=True)
    assert (run.state, run.seen, run.added) == ("done", 2700, 2700)
    assert count(TagHistory) == count(TagSource) == 2700
