"""Departments, members and who serves customers (wecom-api.md sections 4.1, 5.2, 5.3)."""

from __future__ import annotations

from dataclasses import asdict

from scrm.kernel.clock import utcnow
from scrm.staff.service.parsing import TOO_BIG, member_from
from scrm.sync.service.pages import Asked, Item, Json, Page, one_by_one
from scrm.wecom.client import Client
from scrm.wecom.errors import Denied, ErrorKind, WecomError

PROBE = "probe:"
IDS_PAGE = 10_000  # user/list_id: rows a page (section 5.2)


def read_departments(client: Client, asked: Asked) -> Page:
    """The tree of ids; then, with the first department, whether this secret may read members at all.

    Secrets from a new address may read nothing but ids since 2022-08-15 (section 5.1, 48009).
    """
    started = utcnow()
    if asked.cursor.startswith(PROBE):
        return Page(started, items=[Item("members_readable", "", {"by": _readable(client, asked.cursor)})])
    rows = client.get("department/simplelist")["department_id"]
    items = [Item("departments", str(row["id"]), department_fields(row)) for row in rows]
    return Page(started, items=items, cursor=f"{PROBE}{rows[0]['id']}" if rows else None)


def _readable(client: Client, cursor: str) -> str:
    try:
        _members(client, cursor.removeprefix(PROBE))
    except Denied:
        return "ids"
    except WecomError as error:
        if error.passing:
            raise
    return "departments"


def _ask_department(client: Client, key: str) -> list[Item]:
    """A department's name, which only ``department/get`` tells, and its direct members."""
    members = [_member_item(row) for row in _members(client, key)]
    try:
        shown = client.get("department/get", id=key)["department"]
    except WecomError as error:
        if error.passing:
            raise
        return members
    return [Item("department_names", key, {"name": shown.get("name")}), *members]


read_members = one_by_one(_ask_department)
"""Members of departments, with the departments' names."""


def _members(client: Client, department_id: str) -> list[Json]:
    """Direct members; names and departments only where the full answer would be too big or is refused."""
    try:
        rows: list[Json] = client.get("user/list", department_id=department_id)["userlist"]
    except WecomError as error:
        if error.errcode != TOO_BIG and error.kind is not ErrorKind.DENIED:
            raise
        rows = client.get("user/simplelist", department_id=department_id)["userlist"]
    return rows


def _member_item(row: Json) -> Item:
    return Item("members", row["userid"], asdict(member_from(row)))


def read_member_ids(client: Client, asked: Asked) -> Page:
    """Ids and departments only, for secrets that may read nothing else: one row for each member and department."""
    started = utcnow()
    answer = client.post("user/list_id", {"cursor": asked.cursor, "limit": IDS_PAGE})
    rows = answer.get("dept_user") or []
    items = [Item("member_ids", row["userid"], {"department": int(row["department"])}) for row in rows]
    return Page(started, items=items, cursor=answer.get("next_cursor") or None)


def read_follow_users(client: Client, asked: Asked) -> Page:
    """Members who may serve customers, as far as the app sees them."""
    started = utcnow()
    userids: list[str] = client.get("externalcontact/get_follow_user_list")["follow_user"]
    return Page(started, items=[Item("follow_users", userid, {}) for userid in userids])


def department_fields(row: Json) -> Json:
    """A department as :class:`~scrm.staff.service.DepartmentSeen` takes it."""
    return {"id": int(row["id"]), "parent_id": row.get("parentid"), "position": row.get("order")}
