"""Staff in the API."""

from datetime import UTC, datetime, timedelta

from scrm.kernel.db import transaction
from scrm.kernel.permissions import Permission
from scrm.staff import service
from scrm.staff.service import DepartmentSeen, MemberSeen

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def company():
    with transaction():
        service.apply_departments([DepartmentSeen(1, "Root", 0), DepartmentSeen(2, "Sales", 1)], NOW)
        service.apply_members(
            [
                MemberSeen("zs", "张三", status=1, main_department_id=2, departments=((2, True),)),
                MemberSeen("ls", "李四", status=1, departments=((1, False),)),
            ],
            NOW,
        )
        service.set_follow_users(["ZS"])
        return service.ensure_staff(["zs", "ls"])


def test_staff_are_listed_with_their_departments_and_filtered(api):
    ids = company()
    listed = api.get("/api/v1/staff?limit=1").json
    assert [item["userid"] for item in listed["items"]] == ["zs"]
    rest = api.get(f"/api/v1/staff?cursor={listed['next_cursor']}").json
    assert rest["items"][0]["departments"] == [{"id": 1, "name": "Root", "is_leader": False}]
    assert rest["next_cursor"] is None
    for query, expected in {
        "q=张": ["zs"], "q=L": ["ls"], "q=%25": [], "follows_customers=true": ["zs"],
        "department_id=1": ["ls", "zs"], "department_id=2": ["zs"], "left=true": [],
    }.items():  # fmt: skip
        found = api.get(f"/api/v1/staff?{query}").json["items"]
        assert sorted(item["userid"] for item in found) == expected, query
    one = api.get(f"/api/v1/staff/{ids['zs']}").json
    assert (one["name"], one["status"], one["left_at"]) == ("张三", 1, None)


def test_a_limited_key_sees_its_own_staff_only(session, api_with):
    ids = company()
    client = api_with("staff:read", staff_ids=[ids["ls"]])
    assert [item["userid"] for item in client.get("/api/v1/staff").json["items"]] == ["ls"]
    assert client.get(f"/api/v1/staff/{ids['zs']}").status_code == 404


def test_unknown_filters_and_missing_permission_are_refused(session, api_with):
    assert api_with("staff:read").get("/api/v1/staff?nam=x").status_code == 422
    assert api_with("groups:read").get("/api/v1/staff").status_code == 403
    assert api_with("staff:read").get("/api/v1/staff/1").status_code == 404


def test_departments_are_listed_in_wecom_s_order_also_those_without_members(api):
    company()
    seen = [DepartmentSeen(3, "Empty", 1, position=9), DepartmentSeen(4, "Closed", 1)]
    with transaction():
        service.apply_departments(seen, NOW)
        service.note_departments_gone([4], NOW + timedelta(days=1))
    assert api.get("/api/v1/departments").json["items"] == [
        {"id": 3, "name": "Empty", "parent_id": 1, "position": 9},
        {"id": 1, "name": "Root", "parent_id": 0, "position": 0},
        {"id": 2, "name": "Sales", "parent_id": 1, "position": 0},
    ]


def test_departments_need_the_permission_to_see_staff(session, api_with):
    assert api_with(Permission.CUSTOMERS_READ).get("/api/v1/departments").status_code == 403
