"""Several workers at once, and members whose userid changed."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import func, select

from scrm.customers.events import FollowAdded
from scrm.customers.models import Customer, Follow
from scrm.customers.service.details import CustomerSeen, FollowSeen, apply_details
from scrm.customers.service.recording import Add, record_adds
from scrm.groups.models import CustomerGroup
from scrm.groups.service.details import GroupSeen, MemberSeen, apply_groups, want_groups
from scrm.kernel import events
from scrm.kernel.db import db, transaction
from scrm.portraits.models import CustomerCounters
from scrm.staff.models import Staff
from scrm.staff.service import MemberEvent, ensure_staff, record_member_events

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WORKERS, PEOPLE, ROUNDS = 4, 40, 5


@pytest.fixture
def heard(app):
    seen = []
    events.subscribe(FollowAdded)(seen.extend)
    yield seen
    events._subscribers[FollowAdded].remove(seen.extend)


def test_the_same_adds_in_several_workers_at_once_are_told_once_and_nobody_blocks(app, committed, heard):
    barrier = Barrier(WORKERS)

    def work(number):
        with app.app_context():
            for part in range(ROUNDS):
                people = list(range(part * PEOPLE, (part + 1) * PEOPLE))
                adds = [
                    Add(f"u{n % 3}", f"wm{n}", NOON) for n in (people if number % 2 else reversed(people))
                ]
                seen = [
                    CustomerSeen(a.external_userid, {"name": "n"}, (FollowSeen(a.userid, NOON),))
                    for a in adds
                ]
                barrier.wait()
                with transaction():
                    record_adds(adds)
                with transaction():
                    apply_details(seen, NOON + timedelta(seconds=number))
            db.session.remove()

    with ThreadPoolExecutor(WORKERS) as pool:
        for done in [pool.submit(work, number) for number in range(WORKERS)]:
            done.result()
    assert len(heard) == PEOPLE * ROUNDS
    assert committed.scalar(select(func.count()).select_from(Customer)) == PEOPLE * ROUNDS
    assert committed.scalar(select(func.count()).select_from(Follow)) == PEOPLE * ROUNDS
    assert set(committed.scalars(select(CustomerCounters.entries))) == {1}


def test_when_a_userid_changes_relations_and_groups_move_with_the_member(session):
    kept = ensure_staff(["old01"])["old01"]
    with transaction():
        record_adds([Add("old01", "wm1", NOON, state="c1"), Add("old01", "wm2", NOON)])
        record_adds([Add("zhang", "wm2", NOON + timedelta(seconds=9)), Add("zhang", "wm3", NOON)])
        want_groups(["wr1"])
        apply_groups(
            [GroupSeen("wr1", "G", None, "zhang", None, "v1", (MemberSeen("zhang", 1, NOON),))], NOON
        )
    with transaction():
        record_member_events([MemberEvent("old01", NOON, new_userid="zhang")])
    session.expire_all()
    follows = session.execute(
        select(Customer.external_userid, Follow.staff_id, Follow.added_at).join(Follow)
    ).all()
    assert sorted(follows) == [
        ("wm1", kept, NOON), ("wm2", kept, NOON + timedelta(seconds=9)), ("wm3", kept, NOON),
    ]  # fmt: skip
    assert session.scalar(select(CustomerGroup.owner_staff_id)) == kept
    assert session.get(Staff, kept).userid == "zhang"
    wanted = session.scalars(
        select(Customer.refresh_wanted_at).where(Customer.refresh_wanted_at.is_(None))
    ).all()
    assert wanted == []
