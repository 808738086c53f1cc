"""Transfer of customer groups to a new owner (wecom-api.md §4.12)."""

from __future__ import annotations

from scrm.sandbox.api.fields import EMPTY, required, strings
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.api.transfers import NO_USERID, heir
from scrm.sandbox.errors import WecomError
from scrm.sandbox.people import group_transfers
from scrm.sandbox.people.bulk_life import stored_group

GROUPS = 100
TEXTS = {
    group_transfers.NOT_RESIGNED: "owner of the chat has not resigned",
    group_transfers.NO_CUSTOMER_GROUP: "not a customer group chat",
    group_transfers.RESIGNED: "owner of the chat has resigned",
    group_transfers.SAME_OWNER: "new owner is the owner",
    group_transfers.BEING_INHERITED: "chat is being inherited",
    group_transfers.ALREADY_INHERITED: "chat has been inherited",
    group_transfers.INACTIVE: "chat has had no active user for a year",
    group_transfers.DISMISSED: "group already dissolved",
    group_transfers.TOO_OFTEN: "chat was transferred too often in 90 days",
    group_transfers.TOO_MANY_TODAY: "too many chats of this owner to this user today",
}


@api("externalcontact/groupchat/transfer")
def transfer(call: Call) -> Json:
    """Give groups whose owner has resigned to a new owner."""
    return _transfer(call, owner_resigned=True)


@api("externalcontact/groupchat/onjob_transfer")
def onjob_transfer(call: Call) -> Json:
    """Give groups whose owner works here to a new owner."""
    return _transfer(call, owner_resigned=False)


def _transfer(call: Call, owner_resigned: bool) -> Json:
    chats = strings(call.body, "chat_id_list", GROUPS)
    if not chats:
        raise WecomError(EMPTY, "missing chat_id_list")
    new_owner = heir(call, required(call.body, "new_owner", NO_USERID))
    failed: list[Json] = []
    for chat_id in chats:
        code = _start(call, chat_id, new_owner.userid, owner_resigned)
        if code:
            failed.append({"chat_id": chat_id, "errcode": code, "errmsg": TEXTS[code]})
    return {"failed_chat_list": failed}


def _start(call: Call, chat_id: str, new_owner: str, owner_resigned: bool) -> int:
    group = stored_group(call.world, chat_id)
    if group is not None and not call.app.sees(group.owner):
        return group_transfers.NO_CUSTOMER_GROUP
    return group_transfers.start(call.sandbox, chat_id, call.world.members[new_owner], owner_resigned)
