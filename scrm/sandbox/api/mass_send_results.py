"""Reading mass sends: list, tasks and results, in pages (wecom-api.md §4.9)."""

from __future__ import annotations

from scrm.sandbox.api.fields import (
    EMPTY,
    INVALID,
    decode_cursor,
    encode_cursor,
    integer,
    invalid,
    or_default,
    required,
    text,
)
from scrm.sandbox.api.mass_send import find_task
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.errors import WecomError
from scrm.sandbox.model.mass_send import SENT, MassSend

BAD_USER = 40003
LIST_DEFAULT, LIST_MAX = 50, 100
RESULT_DEFAULT, RESULT_MAX = 500, 1_000
MONTH = 31 * 86_400
PERSONAL = 1


@api("externalcontact/get_groupmsg_list_v2")
def get_groupmsg_list_v2(call: Call) -> Json:
    """Tasks of one chat type in a span of at most a month."""
    body = call.body
    chat_type = required(body, "chat_type")
    if chat_type not in {"single", "group"}:
        raise invalid("chat_type", "must be single or group")
    start, end = integer(body, "start_time", -1), integer(body, "end_time", -1)
    if start < 0 or end < 0:
        raise WecomError(EMPTY, "missing start_time or end_time")
    if not 0 <= end - start <= MONTH:
        raise WecomError(INVALID, "invalid Request Parameter: time span exceeds one month")
    if integer(body, "filter_type", 2, (0, 1, 2)) == PERSONAL or text(body, "creator"):
        return {"group_msg_list": []}  # members make no mass sends of their own here
    found = [
        _listed(item)
        for item in call.world.mass_sends.values()
        if item.app == call.app.config.name
        and item.chat_type == chat_type
        and start <= item.created <= end + 1
    ]
    limit = or_default(integer(body, "limit", LIST_DEFAULT), LIST_DEFAULT, LIST_MAX)
    return _paged(call, "group_msg_list", found, limit, f"list:{chat_type}")


@api("externalcontact/get_groupmsg_task")
def get_groupmsg_task(call: Call) -> Json:
    """Which members have confirmed."""
    task = find_task(call)
    rows: list[Json] = []
    for sender in task.senders.values():
        row: Json = {"userid": sender.userid, "status": sender.status}
        if sender.send_time is not None:
            row["send_time"] = sender.send_time
        rows.append(row)
    return _paged(call, "task_list", rows, _result_limit(call), f"task:{task.msgid}")


@api("externalcontact/get_groupmsg_send_result")
def get_groupmsg_send_result(call: Call) -> Json:
    """What became of one member's recipients; of groups only those that were sent."""
    task = find_task(call)
    userid = required(call.body, "userid", BAD_USER)
    sender = task.senders.get(userid)
    if sender is None:
        raise WecomError(BAD_USER, "invalid userid")
    key = "external_userid" if task.chat_type == "single" else "chat_id"
    rows: list[Json] = []
    for recipient, (status, sent_at) in sender.recipients.items():
        if key == "chat_id" and status != SENT:
            continue
        row: Json = {key: recipient, "userid": userid, "status": status}
        if sent_at is not None and status == SENT:
            row["send_time"] = sent_at
        rows.append(row)
    return _paged(call, "send_list", rows, _result_limit(call), f"result:{task.msgid}:{userid}")


def _listed(item: MassSend) -> Json:
    shown: Json = {
        "msgid": item.msgid,
        "create_time": int(item.created),
        "create_type": 0,
        "attachments": item.attachments,
    }
    if item.text is not None:
        shown["text"] = item.text
    return shown


def _result_limit(call: Call) -> int:
    return or_default(integer(call.body, "limit", RESULT_DEFAULT), RESULT_DEFAULT, RESULT_MAX)


def _paged(call: Call, name: str, rows: list[Json], limit: int, scope: str) -> Json:
    offset = decode_cursor(scope, text(call.body, "cursor"))
    more = offset + limit < len(rows)
    return {
        name: rows[offset : offset + limit],
        "next_cursor": encode_cursor(scope, offset + limit) if more else "",
    }
