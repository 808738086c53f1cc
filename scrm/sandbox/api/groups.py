"""Customer groups: list and get (wecom-api.md §4.7)."""

from __future__ import annotations

from scrm.sandbox.api.fields import (
    EMPTY,
    INVALID,
    decode_cursor,
    encode_cursor,
    integer,
    record,
    required,
    strings,
    text,
)
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.errors import WecomError
from scrm.sandbox.model.bulk import BITS, BulkCorp
from scrm.sandbox.model.groups import Group, GroupMember

TOO_LARGE, TOO_MANY, BAD_CHAT, DISMISSED = 81017, 40032, 40050, 49008
COMPUTED = 1 << 40
LIMIT_MAX, OWNERS_MAX = 1_000, 100
STATUSES = (0, 1, 2, 3)


@api("externalcontact/groupchat/list")
def groupchat_list(call: Call) -> Json:
    """Groups whose owner the app sees, in pages; `limit` is required."""
    body = call.body
    if body.get("limit") is None:
        raise WecomError(EMPTY, "missing limit")
    limit = integer(body, "limit")
    if not 1 <= limit <= LIMIT_MAX:
        raise WecomError(INVALID, f"invalid Request Parameter: limit must be 1 to {LIMIT_MAX}")
    status = integer(body, "status_filter", 0, STATUSES)
    owners = _owners(call)
    offset = decode_cursor("groups", text(body, "cursor"))
    found = [
        {"chat_id": group.chat_id, "status": group.status}
        for group in call.world.groups.values()
        if not group.dismissed
        and call.app.sees(group.owner)
        and (not owners or group.owner in owners)
        and (status == 0 or group.status == status)
    ]
    if call.world.bulk is not None and status == 0:
        return _with_computed(call, call.world.bulk, found, owners, offset, limit)
    answer: Json = {"group_chat_list": found[offset : offset + limit]}
    if offset + limit < len(found):
        answer["next_cursor"] = encode_cursor("groups", offset + limit)
    return answer


@api("externalcontact/groupchat/get")
def groupchat_get(call: Call) -> Json:
    """One group with its members and member_version; names only with need_name=1."""
    chat_id = required(call.body, "chat_id", BAD_CHAT)
    named = integer(call.body, "need_name", 0, (0, 1)) == 1
    group = visible_group(call, chat_id)
    shown: Json = {
        "chat_id": group.chat_id,
        "name": group.name,
        "owner": group.owner,
        "create_time": group.create_time,
        "member_version": group.version,
        "member_list": [_member_json(call, item, named) for item in group.members.values()],
        "admin_list": [{"userid": userid} for userid in group.admins],
    }
    if group.notice is not None:
        shown["notice"] = group.notice
    return {"group_chat": shown}


def _with_computed(
    call: Call, bulk: BulkCorp, stored: list[Json], owners: set[str], offset: int, limit: int
) -> Json:
    """Computed groups come after the stored ones; a cursor above COMPUTED is a place among them."""
    rows = stored[offset : offset + limit] if offset < COMPUTED else []
    place = max(0, offset - COMPUTED)
    wanted = [
        number for number in bulk.group_numbers() if _is_wanted(call, bulk.userids[number >> BITS], owners)
    ]
    part = wanted[place : place + limit - len(rows)]
    rows += [{"chat_id": bulk.group_id(number), "status": 0} for number in part]
    answer: Json = {"group_chat_list": rows}
    if offset < COMPUTED and offset + limit < len(stored):
        answer["next_cursor"] = encode_cursor("groups", offset + limit)
    elif place + len(part) < len(wanted):
        answer["next_cursor"] = encode_cursor("groups", COMPUTED + place + len(part))
    return answer


def _is_wanted(call: Call, owner: str, owners: set[str]) -> bool:
    return call.app.sees(owner) and (not owners or owner in owners)


def visible_group(call: Call, chat_id: str) -> Group:
    """A live group whose owner the app sees: 40050 unknown, 49008 dissolved."""
    group = call.world.groups.get(chat_id)
    if group is None and call.world.bulk is not None:
        group = call.world.bulk.group(chat_id)
    shown = None if group is None else group.as_seen(call.world.clock.now())
    if shown is None or not call.app.sees(shown.owner):
        raise WecomError(BAD_CHAT, "invalid chat_id")
    group = shown
    if group.dismissed:
        raise WecomError(DISMISSED, "group already dissolved")
    return group


def _owners(call: Call) -> set[str]:
    owners = strings(record(call.body, "owner_filter") or {}, "userid_list")
    if len(owners) > OWNERS_MAX:
        raise WecomError(TOO_MANY, "userid_list too long")
    if not owners:
        seen = sum(1 for userid in call.world.members if call.app.sees(userid))
        if seen > call.world.limits.unscoped_group_people:
            raise WecomError(TOO_LARGE, "too many people in the visible range, give owner_filter")
    return set(owners)


def _member_json(call: Call, item: GroupMember, named: bool) -> Json:
    world = call.world
    shown: Json = {
        "userid": item.userid,
        "type": item.type,
        "join_time": item.join_time,
        "join_scene": item.join_scene,
        "group_nickname": item.group_nickname,
    }
    if item.invitor is not None:
        shown["invitor"] = {"userid": item.invitor}
    if item.state:
        shown["state"] = item.state
    customer = world.look(item.userid)
    if customer is not None and customer.unionid is not None:
        shown["unionid"] = customer.unionid
    if named:
        member = world.members.get(item.userid)
        shown["name"] = customer.name if customer else (member.name if member else "")
    return shown
