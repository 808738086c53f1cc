"""GET /customers/{id}: one statement, in scope; and the timeline page by page."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event as sa_event
from sqlalchemy import func, literal, select

from scrm.customers.models import Customer
from scrm.customers.service.details import CustomerSeen, FollowSeen, apply_details
from scrm.groups.service.details import GroupSeen, MemberSeen, apply_groups, want_groups
from scrm.kernel.db import transaction
from scrm.portraits import queries
from scrm.portraits.service import Entry, EntryKind, add_entries
from scrm.staff.service import MemberSeen as StaffSeen
from scrm.staff.service import apply_members, ensure_staff

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def who(session):
    with transaction():
        apply_members([StaffSeen("zs", "张三", status=1)], NOON)
        follow = FollowSeen("zs", NOON, remark="100% 'Li' :x", remark_mobiles=("138",), add_way=1, state="c1")
        apply_details([CustomerSeen("wm1", {"name": '李"雷', "type": 1, "gender": 2}, (follow,))], NOON)
        want_groups(["wr1"])
        apply_groups([GroupSeen("wr1", "VIP", None, "zs", NOON, "v1", (MemberSeen("wm1", 2, NOON),))], NOON)
    return session.scalar(select(Customer.id))


def write(who, count, kind=EntryKind.MESSAGE_IN):
    with transaction():
        add_entries(
            [Entry(who, NOON + timedelta(minutes=n), kind, {"n": n}, f"{kind}:{n}") for n in range(count)]
        )


def test_a_portrait_tells_everything(api, who):
    write(who, 3)
    found = api.get(f"/api/v1/customers/{who}").json
    assert (found["id"], found["external_userid"], found["name"], found["gender"]) == (who, "wm1", '李"雷', 2)
    (follow,) = found["follows"]
    assert (follow["userid"], follow["staff_name"], follow["status"]) == ("zs", "张三", "active")
    assert (follow["remark"], follow["remark_mobiles"], follow["state"]) == ("100% 'Li' :x", ["138"], "c1")
    (group,) = found["groups"]
    assert (group["name"], group["left_at"]) == ("VIP", None)
    assert found["counters"]["messages_in"] == 3
    assert datetime.fromisoformat(found["counters"]["last_in_at"]) == NOON + timedelta(minutes=2)
    kinds = [entry["kind"] for entry in found["timeline"]["items"]]
    assert kinds == ["message.in", "message.in", "message.in", "group.joined"]
    assert found["timeline"]["next_cursor"] is None


def test_a_portrait_of_somebody_hardly_known_is_complete_too(api, session):
    session.add(Customer(external_userid="wm2"))
    session.flush()
    found = api.get(f"/api/v1/customers/{session.scalar(select(Customer.id))}").json
    assert (found["follows"], found["groups"], found["counters"]) == ([], [], None)
    assert found["timeline"] == {"items": [], "next_cursor": None}


def test_a_portrait_is_one_statement_besides_the_key(api, who, session):
    counted = []
    connection = session.connection()
    api.get(f"/api/v1/customers/{who}")
    sa_event.listen(connection, "before_cursor_execute", lambda *args: counted.append(args[2]))
    api.get(f"/api/v1/customers/{who}")
    assert len([sql for sql in counted if "api_keys" not in sql and "SAVEPOINT" not in sql]) == 1


def test_only_customers_in_scope_are_shown(api_with, who, session):
    staff_id = ensure_staff(["zs"])["zs"]
    for path in (f"/api/v1/customers/{who}", f"/api/v1/customers/{who}/timeline"):
        assert api_with("customers:read", staff_ids=[staff_id]).get(path).status_code == 200
        assert api_with("customers:read", staff_ids=[staff_id + 1]).get(path).status_code == 404
        assert api_with("tags:read").get(path).status_code == 403
    assert api_with("customers:read").get("/api/v1/customers/999999").status_code == 404


def test_the_timeline_goes_on_where_the_portrait_ends_and_misses_nothing(api, who):
    write(who, 55)
    first = api.get(f"/api/v1/customers/{who}").json["timeline"]
    assert len(first["items"]) == 20
    seen, cursor = [entry["id"] for entry in first["items"]], first["next_cursor"]
    while cursor:
        page = api.get(f"/api/v1/customers/{who}/timeline?limit=10&cursor={cursor}").json
        seen += [entry["id"] for entry in page["items"]]
        cursor = page["next_cursor"]
    assert len(seen) == len(set(seen)) == 56


def test_the_timeline_is_filtered_by_kind_and_by_family(api, who):
    write(who, 2)
    write(who, 3, EntryKind.MESSAGE_OUT)
    path = f"/api/v1/customers/{who}/timeline"
    assert len(api.get(f"{path}?kind=message.out").json["items"]) == 3
    assert len(api.get(f"{path}?kind=message.").json["items"]) == 5
    for wrong in ("kind=message", "kinds=message.,nonsense", "kind=x."):
        refused = api.get(f"{path}?{wrong}")
        assert refused.status_code == 422
        assert "message.in" in str(refused.json["fields"])
    (entry,) = api.get(f"{path}?kind=group.joined").json["items"]
    assert entry["details"].keys() == {"group_id"}
    assert api.get(f"{path}?cursor=nonsense").status_code == 422


def test_other_packages_add_their_sections(api, who, monkeypatch):
    monkeypatch.setattr(queries, "_sections", dict(queries._sections))

    @queries.portrait_section("shouted")
    def shouted():
        return select(func.upper(Customer.external_userid)).correlate(Customer).scalar_subquery()

    assert api.get(f"/api/v1/customers/{who}").json["shouted"] == "WM1"
    with pytest.raises(ValueError, match="shouted"):
        queries.portrait_section("shouted")(lambda: literal(1))
    queries._document.cache_clear()
