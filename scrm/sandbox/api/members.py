"""Members and departments, read only as a self-built app sees them (wecom-api.md §5.1–5.3)."""

from __future__ import annotations

from scrm.sandbox.api.fields import clipped, decode_cursor, encode_cursor, integer, text
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.errors import WecomError
from scrm.sandbox.model.people import Department, Member

CONTACTS = "contacts"
NO_USERID, NO_SUCH_USER, OUT_OF_RANGE, NO_DEPARTMENT, BAD_PARAMETER = 41009, 60111, 60011, 60003, 40058
LIST_ID_MAX = 10_000


@api("user/get", "GET", feature=CONTACTS)
def user_get(call: Call) -> Json:
    """One member; without the sensitive fields, as for apps created after 2022-06-20."""
    userid = call.query.get("userid")
    if not userid:
        raise WecomError(NO_USERID, "missing userid")
    member = find_member(call, userid)
    if member is None:
        raise WecomError(NO_SUCH_USER, "userid not found")
    if not call.app.sees(member.userid):
        raise WecomError(OUT_OF_RANGE, "no privilege to access/modify contact/party/agent")
    return _full(member)


@api("user/simplelist", "GET", feature=CONTACTS)
def user_simplelist(call: Call) -> Json:
    """Direct members of a department with id, name and departments."""
    return {
        "userlist": [
            {"userid": item.userid, "name": item.name, "department": list(item.departments)}
            for item in _members_of(call)
        ]
    }


@api("user/list", "GET", feature=CONTACTS)
def user_list(call: Call) -> Json:
    """Direct members of a department with all fields."""
    return {"userlist": [_full(item) for item in _members_of(call)]}


@api("user/list_id", feature=CONTACTS)
def user_list_id(call: Call) -> Json:
    """One row per (member, department), in pages."""
    offset = decode_cursor("list_id", text(call.body, "cursor"))
    limit = clipped(integer(call.body, "limit", LIST_ID_MAX), LIST_ID_MAX, LIST_ID_MAX)
    rows = [
        {"userid": member.userid, "department": department}
        for member in call.world.members.values()
        if call.app.sees(member.userid)
        for department in member.departments
    ]
    page = rows[offset : offset + limit]
    more = offset + limit < len(rows)
    return {"dept_user": page, "next_cursor": encode_cursor("list_id", offset + limit) if more else ""}


@api("department/list", "GET", feature=CONTACTS)
def department_list(call: Call) -> Json:
    """The department and everything below it; all when no id is given."""
    leaders = _leaders(call)
    return {"department": [_department_json(item, leaders) for item in _subtree(call)]}


@api("department/simplelist", "GET", feature=CONTACTS)
def department_simplelist(call: Call) -> Json:
    """Like department/list with ids only."""
    rows = [{"id": item.id, "parentid": item.parentid, "order": item.order} for item in _subtree(call)]
    return {"department_id": rows}


@api("department/get", "GET", feature=CONTACTS)
def department_get(call: Call) -> Json:
    """One department."""
    wanted = _department_id(call, "id")
    found = call.world.departments.get(wanted or 0)
    if found is None:
        raise WecomError(NO_DEPARTMENT, "department not found")
    return {"department": _department_json(found, _leaders(call))}


def find_member(call: Call, userid: str) -> Member | None:
    """A member by userid, which is unique ignoring case (§1.5)."""
    found = call.world.members.get(userid)
    if found is None:
        lowered = userid.lower()
        found = next((item for item in call.world.members.values() if item.userid.lower() == lowered), None)
    return found


def _leaders(call: Call) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for member in call.world.members.values():
        for department in member.leads:
            found.setdefault(department, []).append(member.userid)
    return found


def _department_json(item: Department, leaders: dict[int, list[str]]) -> Json:
    return {
        "id": item.id,
        "name": item.name,
        "name_en": "",
        "department_leader": leaders.get(item.id, []),
        "parentid": item.parentid,
        "order": item.order,
    }


def _full(member: Member) -> Json:
    return {
        "userid": member.userid,
        "name": member.name,
        "department": list(member.departments),
        "order": [0] * len(member.departments),
        "position": member.position,
        "is_leader_in_dept": [int(item in member.leads) for item in member.departments],
        "direct_leader": list(member.direct_leaders),
        "telephone": member.telephone,
        "alias": member.alias,
        "main_department": member.main(),
        "status": member.status,
        "external_position": member.external_position,
        "extattr": {"attrs": []},
    }


def _members_of(call: Call) -> list[Member]:
    wanted = _department_id(call, "department_id")
    if wanted is None:
        raise WecomError(BAD_PARAMETER, "missing department_id")
    if wanted not in call.world.departments:
        raise WecomError(NO_DEPARTMENT, "department not found")
    return [
        item
        for item in call.world.members.values()
        if wanted in item.departments and call.app.sees(item.userid)
    ]


def _subtree(call: Call) -> list[Department]:
    everything = call.world.departments
    root = _department_id(call, "id")
    if root is not None and root not in everything:
        raise WecomError(NO_DEPARTMENT, "department not found")
    inside = set(everything) if root is None else call.world.subtree([root])
    return [item for item in everything.values() if item.id in inside and _in_range(call, item.id)]


def _in_range(call: Call, department_id: int) -> bool:
    """Whether the app's visible range holds this department: then it holds everybody in it and below (§1.5)."""
    if call.app.config.visible is None:
        return True
    below = set(call.world.subtree([department_id]))
    inside = [m.userid for m in call.world.members.values() if not below.isdisjoint(m.departments)]
    return bool(inside) and all(call.app.sees(userid) for userid in inside)


def _department_id(call: Call, name: str) -> int | None:
    value = call.query.get(name)
    if not value:
        return None
    if not value.isdigit():
        raise WecomError(BAD_PARAMETER, f"invalid Request Parameter: {name} must be a number")
    return int(value)
