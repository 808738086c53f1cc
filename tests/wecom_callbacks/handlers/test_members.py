"""change_contact: what the callbacks say about members and departments."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select, update

from scrm.kernel.db import transaction
from scrm.staff.models import Department, Staff, StaffDepartment
from scrm.staff.service import ensure_staff
from wecom_callbacks.registry import Callback, handler_for, load_handlers
from wecom_callbacks.xml import parse

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
CREATE_USER = b"""<xml><UserID><![CDATA[zhangsan]]></UserID><Name><![CDATA[Zhang]]></Name>
<Department><![CDATA[1,2]]></Department><MainDepartment>1</MainDepartment><IsLeaderInDept><![CDATA[1,0]]></IsLeaderInDept>
<Mobile>13800000000</Mobile><Gender>1</Gender><Status>1</Status>
<ExtAttr><Item><Name><![CDATA[hobby]]></Name><Type>0</Type><Text><Value><![CDATA[x]]></Value></Text></Item></ExtAttr></xml>"""
UPDATE_USER = b"<xml><UserID>zhangsan</UserID><NewUserID>zs01</NewUserID><Status>2</Status></xml>"
DELETE_USER = b"<xml><UserID>zhangsan</UserID></xml>"
CREATE_PARTY = b"<xml><Id>2</Id><Name><![CDATA[Sales]]></Name><ParentId>1</ParentId><Order>1</Order></xml>"
DELETE_PARTY = b"<xml><Id>2</Id></xml>"


@pytest.fixture(autouse=True)
def loaded():
    load_handlers()


def tell(change, body, seconds=0):
    moment = AT.replace(second=seconds)
    callback = Callback(1, "main", "change_contact", change, moment, parse(body, 24), replayed=False)
    with transaction():
        handler_for("change_contact", change)([callback])


def test_a_new_member_arrives_with_departments(session):
    tell("create_user", CREATE_USER)
    member = session.scalars(select(Staff)).one()
    assert (member.userid, member.name, member.status, member.main_department_id) == (
        "zhangsan",
        "Zhang",
        1,
        1,
    )
    rows = session.execute(select(StaffDepartment.department_id, StaffDepartment.is_leader)).all()
    assert sorted(rows) == [(1, True), (2, False)]


@pytest.mark.parametrize(
    "half",
    [
        b"<xml><UserID>zhangsan</UserID><IsLeaderInDept>0,1</IsLeaderInDept></xml>",
        b"<xml><UserID>zhangsan</UserID><Department>2,3</Department></xml>",
        b"<xml><UserID>zhangsan</UserID><NewUserID>zs01</NewUserID><Department>2,3</Department></xml>",
    ],
)
def test_leading_without_departments_or_the_other_way_round_is_asked_from_wecom(session, half):
    tell("create_user", CREATE_USER)
    session.execute(update(Staff).values(refreshed_at=AT))
    tell("update_user", half, 5)
    assert session.scalars(select(Staff.refreshed_at)).all() == [None]


def test_a_change_that_names_departments_and_who_leads_them_needs_no_question(session):
    tell("create_user", CREATE_USER)
    session.execute(update(Staff).values(refreshed_at=AT))
    tell("update_user", CREATE_USER, 5)
    assert session.scalars(select(Staff.refreshed_at)).all() == [AT]


def test_a_changed_userid_keeps_the_member(session):
    tell("create_user", CREATE_USER)
    tell("update_user", UPDATE_USER, 5)
    member = session.scalars(select(Staff)).one()
    assert (member.userid, member.name, member.status) == ("zs01", "Zhang", 2)
    assert ensure_staff(["ZHANGSAN"]) == {"zhangsan": member.id}


def test_a_deleted_member_has_left_also_when_the_creation_arrives_later(session):
    tell("delete_user", DELETE_USER, 9)
    tell("create_user", CREATE_USER)
    member = session.scalars(select(Staff)).one()
    assert (member.status, member.left_at) == (5, AT.replace(second=9))


def test_departments_come_and_go(session):
    tell("create_party", CREATE_PARTY)
    department = session.scalars(select(Department)).one()
    assert (department.id, department.name, department.parent_id, department.position) == (2, "Sales", 1, 1)
    tell("delete_party", DELETE_PARTY, 4)
    session.expire_all()
    assert session.scalar(select(Department.deleted_at)) == AT.replace(second=4)


def test_callbacks_without_an_id_are_left_out(session):
    tell("update_user", b"<xml><UserID></UserID></xml>")
    tell("update_party", b"<xml><Id>many</Id></xml>")
    assert session.scalars(select(Staff)).all() == []
    assert session.scalars(select(Department)).all() == []
