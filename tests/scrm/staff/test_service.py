"""Members of staff: names in events, contact events in any order, answers of WeCom."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from scrm.kernel import events
from scrm.kernel.db import transaction
from scrm.kernel.permissions import Scope
from scrm.staff import queries, service
from scrm.staff.events import StaffFound, StaffMerged
from scrm.staff.models import Department, Staff, StaffAlias, StaffDepartment
from scrm.staff.service import DepartmentEvent, DepartmentSeen, MemberEvent, MemberSeen

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def state(session):
    session.expire_all()
    return {
        s.userid: (s.name, s.position, s.status, s.left_at, s.refreshed_at is None)
        for s in session.scalars(select(Staff).order_by(Staff.id))
    }


@pytest.fixture
def heard():
    seen = []
    for kind in (StaffFound, StaffMerged):
        events.subscribe(kind)(seen.extend)
    yield seen
    for kind in (StaffFound, StaffMerged):
        events._subscribers[kind].remove(seen.extend)


def test_userids_are_one_whatever_their_case(session, heard):
    with transaction():
        first = service.ensure_staff(["ZhangSan", "lisi", ""])
    with transaction():
        again = service.ensure_staff(["zhangsan", "ZHANGSAN", "LiSi"])
    assert first == again
    assert set(first) == {"zhangsan", "lisi"}
    assert session.scalar(select(func.count()).select_from(Staff)) == 2
    assert heard == [StaffFound((first["lisi"], first["zhangsan"]))]


def test_members_are_told_in_the_order_asked_wherever_their_rows_lie(session):
    with transaction():
        service.ensure_staff(["zhao", "qian", "sun"])
        session.execute(update(Staff).where(Staff.userid == "qian").values(name="Qian"))  # its row moves
    assert list(service.ensure_staff(["sun", "li", "Qian", "zhao"])) == ["sun", "li", "qian", "zhao"]


def test_a_change_event_applies_only_what_it_names(session):
    service.record_member_events(
        [MemberEvent("zs", at(0), name="Zhang", status=1, departments=((2, True), (3, False)))]
    )
    service.record_member_events([MemberEvent("zs", at(5), position="Lead")])
    assert state(session) == {"zs": ("Zhang", "Lead", 1, None, True)}
    assert session.execute(
        select(StaffDepartment.department_id, StaffDepartment.is_leader).order_by("department_id")
    ).all() == [(2, True), (3, False)]


def test_events_in_any_order_and_twice_leave_the_newest_or_a_question_to_wecom(session):
    history = [
        MemberEvent("zs", at(0), name="Old", status=1),
        MemberEvent("zs", at(9), gone=True),
        MemberEvent("zs", at(20), name="New", status=1),
    ]
    for order in itertools.permutations([*history, history[1]]):
        session.execute(Staff.__table__.delete())
        for event in order:
            service.record_member_events([event])
        name, _, status, left_at, asked = state(session)["zs"]
        assert (status, left_at) == (1, None), order
        assert name == "New"
        assert asked


def test_an_answer_of_wecom_does_not_undo_a_newer_event(session):
    service.record_member_events([MemberEvent("zs", at(10), name="New")])
    service.apply_members([MemberSeen("zs", name="Old", status=1)], asked_at=at(5))
    assert state(session)["zs"][:2] == ("New", None)
    service.apply_members([MemberSeen("ZS", name="Newer", status=1, departments=((7, True),))], at(20))
    assert state(session) == {"ZS": ("Newer", None, 1, None, False)}


def test_a_new_userid_renames_and_late_events_still_find_the_member(session, heard):
    before = service.ensure_staff(["old01"])["old01"]
    service.record_member_events([MemberEvent("old01", at(0), new_userid="zhang", status=2)])
    service.record_member_events([MemberEvent("old01", at(0), new_userid="zhang", status=2)])
    assert service.ensure_staff(["OLD01", "Zhang"]) == {"old01": before, "zhang": before}
    assert state(session)["zhang"][2] == 2
    assert not [e for e in heard if isinstance(e, StaffMerged)]


def test_a_new_userid_that_was_already_heard_of_is_folded_in(session, heard):
    kept = service.ensure_staff(["old01"])["old01"]
    gone = service.ensure_staff(["zhang"])["zhang"]
    with transaction():
        service.record_member_events([MemberEvent("old01", at(0), new_userid="zhang")])
    assert service.ensure_staff(["zhang", "old01"]) == {"zhang": kept, "old01": kept}
    assert StaffMerged(kept, gone) in heard
    assert gone not in [s.id for s in queries.staff_page(Scope.all(), {"left": False})["items"]]


def test_a_rename_seen_before_anything_else_is_remembered(session):
    service.record_member_events([MemberEvent("old01", at(0), new_userid="zhang")])
    ids = service.ensure_staff(["old01", "zhang"])
    assert ids["old01"] == ids["zhang"]
    assert session.scalar(select(StaffAlias.staff_id)) == ids["zhang"]


def test_who_is_not_shown_by_a_complete_pull_has_left_unless_too_many_vanish(session):
    everybody = [MemberSeen(f"u{n}", name="n", status=1, departments=((1, False),)) for n in range(30)]
    service.apply_members(everybody, at(0))
    service.ensure_staff(["stub"])
    assert service.close_missing_members([f"u{n}" for n in range(27)], at(60)) == (3, True)
    left = [s.userid for s in session.scalars(select(Staff).where(Staff.left_at.isnot(None)))]
    assert sorted(left) == ["u27", "u28", "u29"]
    assert service.close_missing_members(["u1"], at(90)) == (26, False)


def test_members_wecom_does_not_know_have_left_but_stubs_only_stay_unknown(session):
    service.apply_members([MemberSeen("known", name="K", status=1)], at(0))
    service.ensure_staff(["stub"])
    service.note_members_asked(["known", "stub"], at(9), unknown=True)
    assert state(session) == {"known": ("K", None, 5, at(9), False), "stub": (None, None, None, None, False)}
    assert not queries.userids_to_ask(10)


def test_departments_follow_events_and_answers_and_make_a_tree(session):
    service.apply_departments(
        [DepartmentSeen(1, "Root", 0), DepartmentSeen(2, "Sales", 1, 5), DepartmentSeen(9, "Old", 1)], at(0)
    )
    service.record_department_events(
        [
            DepartmentEvent(3, at(10), name="East", parent_id=2),
            DepartmentEvent(2, at(12), name="Sales II"),
            DepartmentEvent(2, at(11), name="stale"),
        ]
    )
    service.apply_departments([DepartmentSeen(1, "Root", 0), DepartmentSeen(2, "S", 1)], at(5), complete=True)
    names = dict(session.execute(select(Department.id, Department.name)).all())
    assert names == {1: "Root", 2: "Sales II", 3: "East", 9: "Old"}
    assert set(session.scalars(queries.department_tree([2]))) == {2, 3}
    service.apply_members(
        [MemberSeen("a", departments=((3, False),)), MemberSeen("b", departments=((1, False),))], at(6)
    )
    ids = service.ensure_staff(["a", "b"])
    assert queries.staff_scope([2]) == Scope.of_staff(ids["a"])


def test_a_deleted_department_stays_deleted_when_older_news_arrive_late(session):
    for event in (DepartmentEvent(5, at(9), gone=True), DepartmentEvent(5, at(1), name="Five", parent_id=1)):
        service.record_department_events([event])
    assert session.scalar(select(Department.deleted_at)) == at(9)
    assert not list(session.scalars(queries.department_tree([5])))
