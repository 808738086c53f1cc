"""Relations that begin and end, told by callbacks or found by asking, and the losses that come of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from scrm.alerts.models import AlertEntry
from scrm.customers.events import LostBy
from scrm.customers.models import Customer
from scrm.customers.service.details import CustomerSeen, FollowSeen, apply_details
from scrm.customers.service.recording import Add, Deletion, record_adds, record_deletions
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import session as current_session
from scrm.kernel.db import transaction
from scrm.losses.models import Loss, LossAlarm
from scrm.staff.models import Department, Staff, StaffDepartment

NOON = datetime(2026, 3, 2, 4, tzinfo=UTC)  # 12:00 in Shanghai
TRANSFER = "DELETE_BY_TRANSFER"


def at(minutes):
    """A moment, in minutes from noon."""
    return NOON + timedelta(minutes=minutes)


@pytest.fixture
def noon(session):
    """The clock shows half past noon, so that what happens from noon on is news."""
    with shifted(at(30) - utcnow()):
        yield


@pytest.fixture
def people(noon, session):
    """A team: chief leads department 1, zs and ls work in it; boss is an operator's userid."""
    with transaction():
        session.add(Department(id=1, name="team"))
        rows = {name: Staff(userid=name, name=name.upper()) for name in ("chief", "zs", "ls", "boss")}
        session.add_all(rows.values())
        session.flush()
        for name in ("chief", "zs", "ls"):
            link = StaffDepartment(staff_id=rows[name].id, department_id=1, is_leader=name == "chief")
            session.add(link)
    return {name: row.id for name, row in rows.items()}


def add(minutes, who="wm1", staff="zs", half=False, state=None):
    return Add(staff, who, at(minutes), half, state)


def left(minutes, who="wm1", staff="zs"):
    """The customer deletes the member."""
    return Deletion(staff, who, at(minutes), LostBy.CUSTOMER)


def deleted(minutes, who="wm1", staff="zs", source=None):
    """The member deletes the customer."""
    return Deletion(staff, who, at(minutes), LostBy.STAFF, source)


def record(*facts):
    """Callbacks, in one transaction."""
    with transaction():
        record_adds([fact for fact in facts if isinstance(fact, Add)])
        record_deletions([fact for fact in facts if isinstance(fact, Deletion)])


def seen(minutes, *follows, who="wm1", **fields):
    """WeCom was asked ``minutes`` after noon and showed these relations: (userid, minute of the add) or with state."""
    shown = tuple(FollowSeen(one[0], at(one[1]), state=one[2] if len(one) > 2 else None) for one in follows)
    with transaction():
        apply_details([CustomerSeen(who, fields, shown, complete=True, settled=True)], at(minutes))


def losses(**values):
    """Losses of the database by time."""
    statement = select(Loss).filter_by(**values).order_by(Loss.lost_at, Loss.staff_id)
    return list(current_session().scalars(statement.execution_options(populate_existing=True)))


def facts(rows=None):
    """What each loss says: (by, minute lost, minute added, minute returned)."""
    return [
        (str(row.lost_by), minute(row.lost_at), minute(row.added_at), minute(row.returned_at))
        for row in (losses() if rows is None else rows)
    ]


def minute(moment):
    return None if moment is None else (moment - NOON) / timedelta(minutes=1)


def alarms():
    statement = select(LossAlarm).order_by(LossAlarm.id)
    return list(current_session().scalars(statement.execution_options(populate_existing=True)))


def alerts(**values):
    statement = select(AlertEntry).filter_by(**values).order_by(AlertEntry.id)
    return list(current_session().scalars(statement.execution_options(populate_existing=True)))


def customer_id(who="wm1"):
    return current_session().scalar(select(Customer.id).where(Customer.external_userid == who))
