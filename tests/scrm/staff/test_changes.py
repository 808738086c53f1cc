"""Leaving, returning, moving: told exactly once per real change, in whatever order, number and way it becomes known."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from scrm.kernel import events
from scrm.kernel.db import transaction
from scrm.staff import queries, service
from scrm.staff.events import DepartmentsMoved, StaffDepartmentsChanged, StaffLeft, StaffReturned
from scrm.staff.models import Department, Staff, StaffDepartment
from scrm.staff.service import DepartmentEvent, DepartmentSeen, MemberEvent, MemberSeen

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KINDS = (StaffLeft, StaffReturned, StaffDepartmentsChanged, DepartmentsMoved)


def at(seconds):
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def heard(session):
    seen = []
    for kind in KINDS:
        events.subscribe(kind)(seen.extend)
    yield seen
    for kind in KINDS:
        events._subscribers[kind].remove(seen.extend)


def tell(*told):
    with transaction():
        if isinstance(told[0], MemberEvent):
            service.record_member_events(told)
        else:
            service.record_department_events(told)


def seen(*members, seconds):
    with transaction():
        service.apply_members(members, at(seconds))


def of(heard, kind):
    return [event for event in heard if isinstance(event, kind)]


def test_leaving_and_returning_are_told_once_each_by_callbacks(heard):
    history = [
        MemberEvent("zs", at(0), name="Z", status=1),
        MemberEvent("zs", at(9), gone=True),
        MemberEvent("zs", at(20), status=1),
    ]
    for event in history:
        tell(event)
        tell(event)
    [id_] = service.staff_ids(["zs"]).values()
    assert of(heard, StaffLeft) == [StaffLeft((id_,))]
    assert of(heard, StaffReturned) == [StaffReturned((id_,))]


def test_whoever_notices_a_departure_first_tells_it(heard):
    seen(MemberSeen("zs", "Z", status=1, departments=((1, False),)), seconds=0)
    [id_] = service.staff_ids(["zs"]).values()
    with transaction():
        service.note_members_asked(["zs"], at(10), unknown=True)
    tell(MemberEvent("zs", at(8), gone=True))
    with transaction():
        service.close_missing_members([], at(20))
    assert of(heard, StaffLeft) == [StaffLeft((id_,))]
    seen(MemberSeen("zs", "Z", status=1), seconds=30)
    seen(MemberSeen("zs", "Z", status=1), seconds=40)
    assert of(heard, StaffReturned) == [StaffReturned((id_,))]


def test_a_pull_tells_whom_it_no_longer_shows(heard):
    seen(*(MemberSeen(f"u{n}", "n", status=1, departments=((1, False),)) for n in range(3)), seconds=0)
    with transaction():
        assert service.close_missing_members(["u0", "u1"], at(60)) == (1, True)
        assert service.close_missing_members(["u0", "u1"], at(90)) == (0, True)
    assert of(heard, StaffLeft) == [StaffLeft((service.staff_ids(["u2"])["u2"],))]


def test_an_old_event_does_not_bring_back_who_a_pull_found_gone(heard, session):
    seen(MemberSeen("zs", "Z", status=1, departments=((1, False),)), seconds=0)
    with transaction():
        service.close_missing_members([], at(60))
    tell(MemberEvent("zs", at(30), position="Lead"))
    session.expire_all()
    assert session.scalars(select(Staff.left_at)).one() == at(60)
    assert of(heard, StaffReturned) == []


def test_an_older_answer_does_not_bring_anybody_back(heard, session):
    tell(MemberEvent("zs", at(30), gone=True))
    seen(MemberSeen("zs", "Z", status=1), seconds=20)
    session.expire_all()
    assert session.scalars(select(Staff.left_at)).one() == at(30)
    assert of(heard, StaffReturned) == []


def test_every_value_keeps_its_newest_event_in_any_order_and_twice(session, heard):
    history = [
        MemberEvent("zs", at(0), name="Zhang", status=1, departments=((2, True),), main_department_id=2),
        MemberEvent("zs", at(5), position="Lead"),
        MemberEvent("zs", at(9), name="Zhang San", departments=((3, False),)),
        MemberEvent("zs", at(12), status=2),
    ]
    results = set()
    for order in itertools.permutations([*history, history[1]]):
        session.execute(Staff.__table__.delete())
        for event in order:
            service.record_member_events([event])
        session.expire_all()
        member = session.scalars(select(Staff)).one()
        belongs = session.execute(select(StaffDepartment.department_id, StaffDepartment.is_leader)).all()
        results.add((member.name, member.position, member.status, member.main_department_id, *belongs[0]))
    assert results == {("Zhang San", "Lead", 2, 2, 3, False)}


def test_what_was_told_under_a_new_userid_before_the_change_belongs_to_the_member(session, heard):
    tell(MemberEvent("old01", at(0), name="Zhang", position="Clerk", departments=((2, False),)))
    tell(MemberEvent("zhang", at(9), position="Lead", departments=((3, True),)))
    tell(MemberEvent("old01", at(5), new_userid="zhang", status=1))
    session.expire_all()
    member = session.scalars(select(Staff).where(Staff.userid == "zhang")).one()
    assert (member.name, member.position, member.status, member.left_at) == ("Zhang", "Lead", 1, None)
    belongs = session.execute(
        select(StaffDepartment.staff_id, StaffDepartment.department_id, StaffDepartment.is_leader)
    ).all()
    assert belongs == [(member.id, 3, True)]
    assert of(heard, StaffLeft) == []


def test_two_changes_of_a_userid_in_one_batch_lead_to_one_member(session):
    tell(
        MemberEvent("b", at(5), new_userid="c"),
        MemberEvent("a", at(0), new_userid="b"),
    )
    ids = service.ensure_staff(["a", "b", "c"])
    assert len(set(ids.values())) == 1


def test_departments_of_members_are_told_when_they_really_change(heard):
    tell(MemberEvent("zs", at(0), departments=((2, False),)))
    tell(MemberEvent("zs", at(0), departments=((2, False),)))
    seen(MemberSeen("zs", "Z", departments=((2, False),)), seconds=9)
    tell(MemberEvent("zs", at(20), departments=((2, True),)))
    tell(MemberEvent("zs", at(15), departments=((7, False),)))
    assert len(of(heard, StaffDepartmentsChanged)) == 2


def test_departments_in_any_order_make_the_same_tree(session, heard):
    history = [
        DepartmentEvent(2, at(0), name="Sales", parent_id=1, position=4),
        DepartmentEvent(2, at(5), name="Sales II"),
        DepartmentEvent(2, at(9), parent_id=3),
    ]
    results = set()
    for order in itertools.permutations([*history, history[2]]):
        session.execute(Department.__table__.delete())
        for event in order:
            service.record_department_events([event])
        session.expire_all()
        row = session.scalars(select(Department)).one()
        results.add((row.name, row.parent_id, row.position, row.deleted_at))
    assert results == {("Sales II", 3, 4, None)}


def test_a_moved_or_deleted_department_is_told_once(heard):
    tell(DepartmentEvent(2, at(0), name="Sales", parent_id=1))
    tell(DepartmentEvent(2, at(3), name="Sales II"))
    tell(DepartmentEvent(2, at(5), parent_id=3))
    tell(DepartmentEvent(2, at(9), gone=True))
    tell(DepartmentEvent(2, at(9), gone=True))
    with transaction():
        service.apply_departments([DepartmentSeen(1, "Root", 0)], at(20), complete=True)
    assert [event.department_ids for event in of(heard, DepartmentsMoved)] == [(2,), (2,), (2,), (1,)]


def test_two_stories_of_one_second_are_a_question(session):
    service.record_department_events([DepartmentEvent(2, at(0), name="A")])
    assert queries.departments_to_ask(10) == []
    service.record_department_events([DepartmentEvent(2, at(0), name="B")])
    assert queries.departments_to_ask(10) == [2]
    service.apply_departments([DepartmentSeen(2, "B", 1)], at(20))
    assert queries.departments_to_ask(10) == []


def company():
    service.apply_departments(
        [DepartmentSeen(1, "Root", 0), DepartmentSeen(2, "Sales", 1), DepartmentSeen(3, "East", 2)], at(0)
    )
    service.apply_members(
        [
            MemberSeen("boss", status=1, departments=((1, True),)),
            MemberSeen("head", status=1, departments=((2, True),)),
            MemberSeen("gone", status=5, departments=((3, True),)),
            MemberSeen("clerk", status=1, departments=((3, False),)),
            MemberSeen("both", status=1, departments=((3, False), (1, False))),
        ],
        at(1),
    )
    return service.ensure_staff(["boss", "head", "gone", "clerk", "both"])


def test_leaders_are_the_nearest_above_who_are_not_oneself(session):
    ids = company()
    led = queries.leaders_of(list(ids.values()))
    assert led == {
        ids["head"]: (ids["boss"],),
        ids["gone"]: (ids["head"],),
        ids["clerk"]: (ids["head"],),
        ids["both"]: tuple(sorted((ids["boss"], ids["head"]))),
    }


def test_a_tree_that_runs_in_a_circle_ends(session):
    ids = company()
    service.record_department_events([DepartmentEvent(1, at(50), parent_id=3)])
    assert queries.leaders_of([ids["boss"]]) == {ids["boss"]: (ids["head"],)}


def test_staff_below_are_those_of_the_whole_branch(session):
    ids = company()
    assert queries.staff_below([2]) == {ids["head"], ids["clerk"], ids["both"]}
    assert queries.staff_below([2], left=True) == {ids[u] for u in ("head", "clerk", "both", "gone")}
    assert queries.staff_below([]) == set()
