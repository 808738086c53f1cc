"""Members of a small company, their alerts, and a clock that can be set."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from scrm.alerts.models import AlertEntry
from scrm.alerts.service import Alert, alert
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import session as current_session
from scrm.kernel.db import transaction
from scrm.staff.models import Department, Staff, StaffDepartment
from scrm.wecom.models import Effect

SHANGHAI = ZoneInfo("Asia/Shanghai")


@contextmanager
def at(wall, zone=SHANGHAI):
    """The corp's clocks show ``wall`` ("2026-03-02 23:00")."""
    moment = datetime.fromisoformat(wall).replace(tzinfo=zone)
    with shifted(moment - utcnow()):
        yield


@pytest.fixture
def noon():
    """It is noon, so that no quiet hours are near."""
    with at("2026-03-02 12:00"):
        yield


def member(userid, *departments, leads=(), left=False):
    """A member of departments, leading some of them; returns the id."""
    with transaction():
        row = Staff(userid=userid, name=userid.title(), left_at=utcnow() if left else None)
        current_session().add(row)
        current_session().flush()
        for department in {*departments, *leads}:
            link = StaffDepartment(staff_id=row.id, department_id=department, is_leader=department in leads)
            current_session().add(link)
    return row.id


@pytest.fixture
def people(session):
    """Company 1 with branch 2 and team 3 below it: boss leads 1, chief leads 2, li and wang work in 3."""
    with transaction():
        session.add_all(
            [
                Department(id=1, name="company"),
                Department(id=2, name="branch", parent_id=1),
                Department(id=3, name="team", parent_id=2),
            ]
        )
    return {
        "boss": member("boss", leads=[1]),
        "chief": member("chief", leads=[2]),
        "li": member("li", 3),
        "wang": member("wang", 3),
    }


def tell(*alerts):
    with transaction():
        alert(alerts)


def news(key, *staff_ids, text="消息", **more):
    """An alert of kind ``news``."""
    return Alert("news", key, f"{text} {key}", f"news {key}", staff_ids=staff_ids, **more)


def entries(**values):
    """Alerts of the database, oldest first."""
    statement = select(AlertEntry).filter_by(**values).order_by(AlertEntry.id)
    return list(current_session().scalars(statement.execution_options(populate_existing=True)))


def messages():
    """(userid, text) of the messages planned, oldest first."""
    rows = current_session().scalars(select(Effect).where(Effect.kind == "staff_message").order_by(Effect.id))
    return [(row.payload["touser"], row.payload["text"]["content"]) for row in rows]
