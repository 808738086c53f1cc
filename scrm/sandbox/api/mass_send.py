"""Creating, reminding and cancelling mass sends (wecom-api.md §4.9)."""

from __future__ import annotations

from scrm.sandbox.api.attachments import checked_message
from scrm.sandbox.api.fields import INVALID, boolean, invalid, record, required, strings, text
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.api.relations import scoped_member
from scrm.sandbox.errors import WecomError
from scrm.sandbox.model.mass_send import NOT_SENT, MassSend, SenderTask
from scrm.sandbox.people.broadcasts import plan_confirmations

EMPTY, NOBODY, NO_MSGID, BAD_MSGID, DISPATCHING, CANCELLED, REMINDED = (
    40063,
    41048,
    41046,
    41047,
    41063,
    41093,
    41094,
)
BAD_TAG = 40068
SINGLE, GROUP = "single", "group"
TAGS_PER_LIST = 100
DAY = 86_400
Assigned = dict[str, list[str]]


@api("externalcontact/add_msg_template")
def add_msg_template(call: Call) -> Json:
    """Make a task; every sender must confirm it in the client. Nothing is sent by the server."""
    body, world = call.body, call.world
    chat_type = text(body, "chat_type") or SINGLE
    if chat_type not in {SINGLE, GROUP}:
        raise invalid("chat_type", "must be single or group")
    boolean(body, "allow_select", default=False)
    message, attachments = checked_message(call)
    assigned, failed = (_single if chat_type == SINGLE else _group)(call)
    if not any(assigned.values()):
        raise WecomError(NOBODY, "no customer can receive this message")
    task = MassSend(
        msgid=world.ids.opaque("msg"),
        app=call.app.config.name,
        chat_type=chat_type,
        created=world.clock.now(),
        text=message,
        attachments=attachments,
        senders={
            userid: SenderTask(userid, dict.fromkeys(people, (NOT_SENT, None)))
            for userid, people in assigned.items()
            if people
        },
        fail_list=failed,
    )
    world.mass_sends[task.msgid] = task
    plan_confirmations(call.sandbox, task)
    return {"fail_list": failed, "msgid": task.msgid}


@api("externalcontact/remind_groupmsg_send")
def remind_groupmsg_send(call: Call) -> Json:
    """Nudge the senders who have not confirmed; at most 3 times in 24 hours."""
    task, now = find_task(call), call.world.clock.now()
    task.reminders = [at for at in task.reminders if now - at < DAY]
    if len(task.reminders) >= call.world.limits.reminders_per_day:
        raise WecomError(REMINDED, "remind too many times")
    task.reminders.append(now)
    return {}


@api("externalcontact/cancel_groupmsg_send")
def cancel_groupmsg_send(call: Call) -> Json:
    """Stop the senders who have not sent yet."""
    task = any_task(call)
    if task.cancelled:
        raise WecomError(CANCELLED, "mass send has been cancelled")
    task.cancelled = True
    return {}


def find_task(call: Call) -> MassSend:
    """The task of `msgid`: 41046 missing, 41047 unknown, 41093 cancelled, 41063 still being dispatched."""
    task = any_task(call)
    if task.cancelled:
        raise WecomError(CANCELLED, "mass send has been cancelled")
    if call.world.clock.now() - task.created < call.world.limits.mass_send_dispatch_seconds:
        raise WecomError(DISPATCHING, "mass send is being dispatched, try again later")
    return task


def any_task(call: Call) -> MassSend:
    """The task of `msgid` in whatever state."""
    msgid = text(call.body, "msgid")
    if not msgid:
        raise WecomError(NO_MSGID, "missing msgid")
    task = call.world.mass_sends.get(msgid)
    if task is None or task.app != call.app.config.name:
        raise WecomError(BAD_MSGID, "invalid msgid")
    return task


def _single(call: Call) -> tuple[Assigned, list[str]]:
    people = list(dict.fromkeys(strings(call.body, "external_userid", call.world.limits.single_recipients)))
    sender = text(call.body, "sender")
    if sender:
        scoped_member(call, sender)
    if people:
        return _named(call, people, sender)
    tag_filter = record(call.body, "tag_filter")
    if tag_filter is None and not sender:
        raise WecomError(EMPTY, "external_userid and sender are both empty")
    return _filtered(call, _tag_lists(call, tag_filter or {}), sender), []


def _named(call: Call, people: list[str], sender: str | None) -> tuple[Assigned, list[str]]:
    assigned: Assigned = {}
    failed: list[str] = []
    for external_userid in people:
        chosen = _last_chatted(call, external_userid, sender)
        if chosen is None:
            failed.append(external_userid)
        else:
            assigned.setdefault(chosen, []).append(external_userid)
    return assigned, failed


def _last_chatted(call: Call, external_userid: str, sender: str | None) -> str | None:
    """The follower who last chatted with the customer, or `sender` if they follow; None when nobody can send."""
    customer = call.world.customers.get(external_userid)
    if customer is None:
        return None
    able = [
        item
        for item in customer.follows
        if not item.half and call.app.sees(item.userid) and (sender is None or item.userid == sender)
    ]
    if not able:
        return None
    return max(able, key=lambda item: (item.last_chat, item.createtime)).userid


def _filtered(call: Call, tag_lists: list[set[str]], sender: str | None) -> Assigned:
    world = call.world
    members = (
        [world.members[sender]] if sender else [m for m in world.members.values() if call.app.sees(m.userid)]
    )
    assigned: Assigned = {}
    for member in members:
        for follow in member.customers():
            if not all(not wanted.isdisjoint(follow.tags) for wanted in tag_lists):
                continue
            if sender or _last_chatted(call, follow.external_userid, None) == member.userid:
                assigned.setdefault(member.userid, []).append(follow.external_userid)
    return assigned


def _tag_lists(call: Call, tag_filter: Json) -> list[set[str]]:
    """OR inside one list, AND between lists."""
    lists: list[set[str]] = []
    groups = tag_filter.get("group_list") or []
    if not isinstance(groups, list):
        raise invalid("tag_filter.group_list", "must be a list")
    for item in groups:
        tags = strings(item, "tag_list", TAGS_PER_LIST) if isinstance(item, dict) else []
        if not tags or any(tag not in call.world.tags for tag in tags):
            raise WecomError(BAD_TAG, "invalid tag in tag_filter")
        lists.append(set(tags))
    return lists


def _group(call: Call) -> tuple[Assigned, list[str]]:
    sender = required(call.body, "sender")
    scoped_member(call, sender)
    chats = strings(call.body, "chat_id_list")
    if len(chats) > call.world.limits.group_recipients:
        raise WecomError(INVALID, "invalid Request Parameter: chat_id_list too long")
    groups = call.world.groups
    own = [item.chat_id for item in groups.values() if item.owner == sender and not item.dismissed]
    if not chats:
        return {sender: own}, []
    able = set(own)
    wanted = list(dict.fromkeys(chats))
    return {sender: [i for i in wanted if i in able]}, [i for i in wanted if i not in able]
