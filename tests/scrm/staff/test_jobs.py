"""Reading staff from WeCom: everything, single members, and what failures must not do."""

import pytest
from sqlalchemy import select

from scrm.kernel.db import transaction
from scrm.staff import jobs, queries, service
from scrm.staff.models import Department, Staff


@pytest.fixture
def corp(committed, sandbox):
    sandbox.population(members=6, departments=3, customers=0)
    return sandbox


def named(session):
    session.expire_all()
    return {s.userid: s.name for s in session.scalars(select(Staff))}


def test_everything_is_read_at_the_first_start(corp, committed):
    assert queries.completion_due()
    jobs.complete_staff()
    assert len(named(committed)) == 6
    assert all(named(committed).values())
    departments = committed.scalars(select(Department)).all()
    assert all(d.name for d in departments)
    assert committed.scalars(select(Staff.follows_customers)).all() == [True] * 6
    assert not queries.completion_due()
    jobs.complete_staff()
    assert corp.log_counts()["department/simplelist"] == {"0": 1}


def test_a_member_named_by_an_event_gets_a_name(corp, committed):
    jobs.refresh_staff()
    userid = next(iter(named(committed)))
    with transaction():
        committed.execute(Staff.__table__.delete().where(Staff.userid == userid))
        service.ensure_staff([userid, "ghost"])
    jobs.complete_staff()
    assert named(committed)[userid]
    ghost = committed.scalars(select(Staff).where(Staff.userid == "ghost")).one()
    assert (ghost.name, ghost.left_at) == (None, None)
    assert not queries.completion_due()


def test_a_failing_part_marks_nobody_as_left(corp, committed):
    jobs.refresh_staff()
    corp.fault("errcode", api="user/list", errcode=60011, times=None)
    corp.fault("errcode", api="user/simplelist", errcode=-1, times=None)
    jobs.refresh_staff()
    assert committed.scalars(select(Staff.left_at).where(Staff.left_at.isnot(None))).all() == []


def test_without_permission_for_details_the_short_list_is_read(corp, committed):
    corp.fault("errcode", api="user/list", errcode=60011, times=None)
    jobs.refresh_staff()
    assert len(named(committed)) == 6
    assert all(named(committed).values())


def test_members_only_hidden_from_the_app_have_not_left(corp, committed):
    jobs.refresh_staff()
    seen, *hidden = sorted(named(committed))
    corp.change_app("main", visible=[seen])
    jobs.refresh_staff()
    with transaction():  # what an unsubscribe callback brings about
        service.doubt_members(hidden)
    jobs.complete_staff()
    assert committed.scalars(select(Staff.left_at).where(Staff.left_at.isnot(None))).all() == []
    assert committed.scalars(select(Department.id).where(Department.deleted_at.isnot(None))).all() == []
    corp.change_app("main", visible=None)
    corp.delete_staff(hidden[0])
    with transaction():
        service.doubt_members(hidden)
    jobs.complete_staff()
    left = select(Staff.userid).where(Staff.left_at.isnot(None))
    assert committed.scalars(left).all() == [hidden[0]]
