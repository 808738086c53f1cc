"""What can be said about codes: conflicts named by path, folders, filters, permissions."""

import pytest
from sqlalchemy import select

from scrm.acquisition.models import ChannelCode, ChannelCodeGroup
from scrm.kernel.db import transaction
from scrm.staff.service import ensure_staff

URL = "/api/v1/channel-codes"
GROUPS = "/api/v1/channel-code-groups"


@pytest.fixture
def staff(session):
    with transaction():
        return list(ensure_staff(["amy", "bob", "cat"]).values())


def slot(begin, end, *staff_ids, weekdays=(1,), **more):
    return {"weekdays": list(weekdays), "begin": begin, "end": end, "staff_ids": list(staff_ids), **more}


def dated(first, last, begin="00:00", end="24:00", **more):
    return {"first": first, "last": last, "begin": begin, "end": end, **more}


@pytest.fixture
def refused(api, staff):
    """Problems by path of a code with these fields."""

    def ask(**values):
        answer = api.post(URL, json={"name": "n", "staff_ids": staff[:2], **values})
        assert answer.status_code == 422, answer.json
        return answer.json["fields"]

    return ask


def test_overlapping_slots_are_refused_with_the_path_of_both(refused, staff):
    a = staff[0]
    told = refused(
        slots=[
            slot("09:00", "12:00", a),
            slot("13:00", "14:00", a),
            slot("11:00", "13:00", a, weekdays=[1, 2]),
        ]
    )
    assert told == {
        "slots.0": "overlaps slots.2 from Monday 11:00",
        "slots.2": "overlaps slots.0 from Monday 11:00",
    }
    told = refused(slots=[slot("22:00", "06:00", a, weekdays=[7]), slot("05:00", "09:00", a)])
    assert told["slots.1"] == "overlaps slots.0 from Monday 05:00"


def test_overlapping_dates_welcomes_and_windows_are_refused_too(refused, staff, message):
    a, text = staff[0], message()
    told = refused(
        dates=[
            dated("2026-10-01", "2026-10-07", staff_ids=[a]),
            dated("2026-10-07", "2026-10-08", staff_ids=[a]),
        ]
    )
    assert told["dates.0"] == "overlaps dates.1 from 2026-10-07 00:00"
    week = {"weekdays": [1], "begin": "09:00", "end": "12:00"}
    assert set(refused(welcome_slots=[{**week, "welcome_id": text.id}] * 2)) == {
        "welcome_slots.0",
        "welcome_slots.1",
    }
    assert set(refused(accept_slots=[week, week])) == {"accept_slots.0", "accept_slots.1"}


def test_slots_that_touch_do_not_overlap(api, staff):
    slots = [slot("09:00", "12:00", staff[0]), slot("12:00", "09:00", staff[1])]
    assert api.post(URL, json={"name": "n", "staff_ids": staff[:2], "slots": slots}).status_code == 201


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"slots": [slot("9:00", "12:00")]}, "slots.0.begin"),
        ({"slots": [slot("24:00", "12:00")]}, "slots.0.begin"),
        ({"slots": [slot("09:00", "24:01")]}, "slots.0.end"),
        ({"slots": [slot("09:00", "12:00", weekdays=[0])]}, "slots.0.weekdays"),
        ({"slots": [slot("09:00", "12:00", weekdays=[])]}, "slots.0.weekdays"),
        ({"slots": [slot("09:00", "12:00")]}, "slots.0.staff_ids"),
        ({"slots": [slot("09:00", "12:00", 999_999)]}, "slots.0.staff_ids.0"),
        ({"slots": [slot("09:00", "12:00", department_ids=[77])]}, "slots.0.department_ids.0"),
        ({"dates": [dated("2026-02-30", "2026-03-01")]}, "dates.0.first"),
        ({"dates": [dated("2026-03-02", "2026-03-01")]}, "dates.0.last"),
        ({"dates": [dated("2026-03-02", "2028-03-01")]}, "dates.0.last"),
        ({"dates": [dated("1026-03-02", "2028-03-01")]}, "dates.0.first"),
        ({"backup_staff_ids": [999_999]}, "backup_staff_ids.0"),
        ({"caps": [{"staff_id": 999_999, "cap": 3}]}, "caps.0"),
        ({"caps": [{"staff_id": 1, "cap": 0}]}, "caps.0.cap"),
        ({"daily_cap": 0}, "daily_cap"),
        ({"group_id": 999_999}, "group_id"),
        ({"welcome_slots": [{"weekdays": [1], "begin": "09:00", "end": "12:00", "welcome_id": 9}]}, "welcome_slots.0.welcome_id"),
        ({"use_party": True, "daily_cap": 3}, "use_party"),
        ({"is_temp": True}, "staff_ids"),
        ({"expires_in": 60}, "expires_in"),
        ({"expires_in": 99_999_999}, "expires_in"),
        ({"when_over": "backup"}, "when_over"),
        ({"valid_until": "2020-01-01T00:00:00Z"}, "valid_until"),
        ({"blocked_names": [""]}, "blocked_names.0"),
        ({"staff_ids": [], "department_ids": []}, "staff_ids"),
        ({"state": "mine"}, "state"),
        ({"on_duty": [1]}, "on_duty"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_its_path(refused, session, values, path):
    assert path in refused(**values)
    assert session.scalars(select(ChannelCode.id)).all() == []


def test_a_code_of_one_member_may_change_hands_but_never_be_of_several(api, staff):
    a, b, c = staff
    made = api.post(URL, json={"name": "n", "staff_ids": [a]}).json
    url = f"{URL}/{made['id']}"
    assert api.patch(url, json={"slots": [slot("09:00", "12:00", b)]}).status_code == 200
    told = api.patch(url, json={"slots": [slot("09:00", "12:00", b, c)]})
    assert list(told.json["fields"]) == ["slots.0.staff_ids"]
    assert list(api.patch(url, json={"is_temp": True}).json["fields"]) == ["is_temp"]


def test_who_left_since_does_not_stand_in_the_way_of_other_changes(api, staff, session):
    from scrm.kernel.clock import utcnow
    from scrm.staff.models import Staff

    made = api.post(URL, json={"name": "n", "staff_ids": staff[:2]}).json
    session.get(Staff, staff[0]).left_at = utcnow()
    session.commit()
    answer = api.patch(f"{URL}/{made['id']}", json={"name": "新"})
    assert (answer.status_code, answer.json["on_duty"]) == (200, [staff[1]])


def test_folders_are_made_renamed_ordered_and_taken_away(api, staff, session):
    a, b, c = (api.post(GROUPS, json={"name": name}).json["id"] for name in "abc")
    assert [g["name"] for g in api.get(GROUPS).json["items"]] == ["a", "b", "c"]
    assert api.post(GROUPS, json={"name": "a"}).status_code == 422
    assert api.patch(f"{GROUPS}/{b}", json={"name": "乙"}).json["name"] == "乙"
    assert api.patch(f"{GROUPS}/{b}", json={"name": "a"}).status_code == 422
    ordered = api.put(f"{GROUPS}/order", json={"ids": [c, a]}).json["items"]
    assert [g["id"] for g in ordered] == [c, a, b]
    assert api.put(f"{GROUPS}/order", json={"ids": [c, c]}).status_code == 422
    assert api.put(f"{GROUPS}/order", json={"ids": [999_999]}).status_code == 422
    code = api.post(URL, json={"name": "n", "staff_ids": staff, "group_id": a}).json["id"]
    other = api.post(URL, json={"name": "m", "staff_ids": staff}).json["id"]
    assert api.post(f"{URL}/move", json={"code_ids": [code, other], "group_id": b}).status_code == 204
    assert {g["id"]: g["codes"] for g in api.get(GROUPS).json["items"]} == {a: 0, b: 2, c: 0}
    assert api.post(f"{URL}/move", json={"code_ids": [code], "group_id": 999_999}).status_code == 422
    assert (
        "code_ids.1"
        in api.post(f"{URL}/move", json={"code_ids": [code, 999_999], "group_id": None}).json["fields"]
    )
    assert api.delete(f"{GROUPS}/{b}").status_code == 204
    assert api.get(f"{URL}/{code}").json["group_id"] is None
    assert api.delete(f"{GROUPS}/{b}").status_code == 404


def ids(api, query):
    return [code["id"] for code in api.get(f"{URL}?{query}").json["items"]]


def test_lists_are_filtered_and_paged(api, staff, session):
    group = ChannelCodeGroup(name="g")
    session.add(group)
    session.commit()
    a, b, c = staff
    one = api.post(URL, json={"name": "深圳_展会", "staff_ids": [a], "group_id": group.id}).json["id"]
    two = api.post(URL, json={"name": "广州", "staff_ids": [a], "slots": [slot("09:00", "12:00", b)]}).json[
        "id"
    ]
    three = api.post(URL, json={"name": "100%", "staff_ids": [a], "backup_staff_ids": [c]}).json["id"]
    assert ids(api, "") == [three, two, one]
    assert ids(api, f"group_id={group.id}") == [one]
    assert ids(api, "group_id=0") == [three, two]
    assert ids(api, f"staff_id={b}") == [two]
    assert ids(api, f"staff_id={c}") == [three]
    assert ids(api, "q=展") == [one]
    assert ids(api, "q=%25") == [three]
    assert ids(api, "q=_") == [one]
    assert ids(api, "drifted=true") == []
    first = api.get(f"{URL}?limit=2").json
    assert ids(api, f"limit=2&cursor={first['next_cursor']}") == [one]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", ""), ("get", "/1"), ("get", "/1/qr.png"), ("get", "/found"), ("get", "/export"), ("get", "/statistics"),
        ("get", "/1/statistics"), ("get", "/1/fairness"), ("post", ""), ("patch", "/1"), ("delete", "/1"),
        ("post", "/1/recreate"), ("post", "/1/drift"), ("post", "/move"), ("post", "/adopt"), ("post", "/import"),
    ],
)  # fmt: skip
def test_everything_needs_its_permission(session, api_with, method, path):
    other = "channel-codes:write" if method == "get" else "channel-codes:read"
    assert (
        getattr(api_with(other), method)(f"{URL}{path}", json={} if method != "get" else None).status_code
        == 403
    )
