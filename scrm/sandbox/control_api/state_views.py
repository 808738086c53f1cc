"""The truth for assertions: what the simulated corp really holds."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from scrm.sandbox.control_api.truth import LISTERS, READERS
from scrm.sandbox.errors import ControlError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrm.sandbox.model.world import World
    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]


def routes(sandbox: Sandbox) -> dict[tuple[str, str], Callable[..., Json]]:
    """Method and path to view."""

    def one(entity: str, item_id: str) -> Json:
        reader = READERS.get(entity)
        if reader is None:
            raise ControlError(f"entity must be one of {', '.join(READERS)}", 404)
        with sandbox.world.lock:
            found = reader(sandbox.world, item_id)
        if found is None:
            raise ControlError(f"there is no {entity} {item_id!r}", 404)
        return found

    def ids(entity: str) -> Json:
        lister = LISTERS.get(entity)
        if lister is None:
            raise ControlError(f"entity must be one of {', '.join(LISTERS)}", 404)
        with sandbox.world.lock:
            return {"ids": [str(item) for item in lister(sandbox.world)]}

    return {("GET", "/state/<entity>"): ids, ("GET", "/state/<entity>/<path:item_id>"): one}


def _customer(world: World, item_id: str) -> Json | None:
    customer = world.look(item_id)
    if customer is None:
        return None
    return {
        "external_userid": customer.external_userid,
        "name": customer.name,
        "type": customer.type,
        "gender": customer.gender,
        "unionid": customer.unionid,
        "follows": [asdict(item) for item in customer.follows],
        "received_at": list(world.received.get(item_id, ())),
    }


def _member(world: World, item_id: str) -> Json | None:
    member = world.members.get(item_id) or world.left.get(item_id)
    if member is None:
        return None
    return {
        "userid": member.userid,
        "name": member.name,
        "departments": list(member.departments),
        "status": member.status,
        "leads": list(member.leads),
        "direct_leaders": list(member.direct_leaders),
        "contact_feature": member.contact_feature,
        "console_welcome": member.console_welcome,
        "confirm_seconds": member.confirm_seconds,
        "verified": member.verified,
        "contact_limit": member.contact_limit,
        "left_at": member.left_at,
        "customers": list(member.follows),
    }


def _tag(world: World, item_id: str) -> Json | None:
    tag = world.tags.get(item_id)
    if tag is None:
        return None
    holders = [
        {"userid": follow.userid, "external_userid": follow.external_userid}
        for member in world.members.values()
        for follow in member.follows.values()
        if item_id in follow.tags
    ]
    return asdict(tag) | {"group_name": world.tag_groups[tag.group_id].name, "holders": holders}


def _mass_send(world: World, item_id: str) -> Json | None:
    task = world.mass_sends.get(item_id)
    if task is None:
        return None
    senders = {
        sender.userid: {
            "status": sender.status,
            "send_time": sender.send_time,
            "recipients": {key: status for key, (status, _) in sender.recipients.items()},
        }
        for sender in task.senders.values()
    }
    return {
        "msgid": task.msgid,
        "app": task.app,
        "chat_type": task.chat_type,
        "created": task.created,
        "text": task.text,
        "attachments": task.attachments,
        "fail_list": task.fail_list,
        "cancelled": task.cancelled,
        "reminders": task.reminders,
        "senders": senders,
    }


def _welcome(world: World, item_id: str) -> Json | None:
    code = world.welcome_codes.get(item_id)
    return None if code is None else {"app": code.app, **asdict(code.round)}


def _kf_session(world: World, item_id: str) -> Json | None:
    """`item_id` = open_kfid/external_userid."""
    open_kfid, _, external_userid = item_id.partition("/")
    account = world.kf.accounts.get(open_kfid)
    session = account.sessions.get(external_userid) if account else None
    if account is None or session is None:
        return None
    sent = [item for item in account.sent if item["touser"] == external_userid]
    return {
        "open_kfid": open_kfid,
        "external_userid": external_userid,
        "state": session.state,
        "servicer": session.servicer,
        "last_message": session.last_message,
        "sent_since": session.sent_since,
        "sent": sent,
    }


def _kf_account(world: World, item_id: str) -> Json | None:
    account = world.kf.accounts.get(item_id)
    if account is None:
        return None
    return {
        "open_kfid": account.open_kfid,
        "name": account.name,
        "servicers": account.servicers,
        "log": [item for _, item in account.log],
        "sent": account.sent,
    }


def _app_messages(world: World, item_id: str) -> Json | None:
    """`item_id` = a member's userid: what the app delivered to them."""
    if item_id not in world.members:
        return None
    return {"messages": [item for item in world.app_messages if item["userid"] == item_id]}


def _group(world: World, item_id: str) -> Json | None:
    group = world.groups.get(item_id)
    return None if group is None else asdict(group)


def _tag_group(world: World, item_id: str) -> Json | None:
    group = world.tag_groups.get(item_id)
    return None if group is None else asdict(group)


def _contact_way(world: World, item_id: str) -> Json | None:
    way = world.contact_ways.get(item_id)
    return None if way is None else asdict(way)


READERS |= {
    "customer": _customer,
    "member": _member,
    "tag": _tag,
    "tag_group": _tag_group,
    "contact_way": _contact_way,
    "group": _group,
    "mass_send": _mass_send,
    "welcome": _welcome,
    "kf_account": _kf_account,
    "kf_session": _kf_session,
    "app_messages": _app_messages,
}
LISTERS |= {
    "customer": lambda world: world.customers,
    "member": lambda world: world.members,
    "department": lambda world: world.departments,
    "tag": lambda world: world.tags,
    "tag_group": lambda world: world.tag_groups,
    "contact_way": lambda world: world.contact_ways,
    "group": lambda world: [item.chat_id for item in world.groups.values() if not item.dismissed],
    "mass_send": lambda world: world.mass_sends,
    "welcome": lambda world: world.welcome_codes,
    "kf_account": lambda world: world.kf.accounts,
}
