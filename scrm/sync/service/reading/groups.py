"""Customer groups with their members (wecom-api.md section 4.7)."""

from __future__ import annotations

from scrm.kernel.clock import utcnow
from scrm.sync.service.pages import Asked, Item, Json, Page, one_by_one
from scrm.wecom.client import Client
from scrm.wecom.errors import WecomError

LIST_LIMIT = 1000  # groups a page (section 4.7)
DISSOLVED = 49008
TOO_MANY = 81017  # over 1000 visible people: ask by owner


def read_group_list(client: Client, asked: Asked) -> Page:
    """The next page of groups; of these owners, or of all when no owners are given.

    Asked without owners, groups of members who resigned are listed too; over 1,000 visible people WeCom wants owners.
    """
    started = utcnow()
    body: Json = {"status_filter": 0, "limit": LIST_LIMIT, "cursor": asked.cursor}
    if asked.keys:
        body["owner_filter"] = {"userid_list": list(asked.keys)}
    try:
        answer = client.post("externalcontact/groupchat/list", body)
    except WecomError as error:
        if error.errcode != TOO_MANY or asked.keys:
            raise
        return Page(started, items=[Item("groups_by_owner", "", {})])
    rows = answer.get("group_chat_list") or []
    items = [Item("group_ids", row["chat_id"], {"status": row.get("status")}) for row in rows]
    return Page(started, items=items, cursor=answer.get("next_cursor") or None)


def _ask_group(client: Client, chat_id: str) -> list[Item]:
    shown = client.post("externalcontact/groupchat/get", {"chat_id": chat_id, "need_name": 1})["group_chat"]
    return [Item("groups", shown["chat_id"], shown)]


read_groups = one_by_one(_ask_group)
"""Groups with all their members, one call each."""


def _ask_missing(client: Client, chat_id: str) -> list[Item]:
    """A group that no list showed. It may belong to somebody the app no longer sees: only 49008 says that it is gone."""
    try:
        client.post("externalcontact/groupchat/get", {"chat_id": chat_id, "need_name": 0})
    except WecomError as error:
        if error.errcode != DISSOLVED:
            raise
        return [Item("groups_gone", chat_id, {})]
    return []


read_missing_groups = one_by_one(_ask_missing)
"""Whether groups that no list showed are really gone."""
