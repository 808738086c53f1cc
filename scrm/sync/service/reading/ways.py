"""Contact ways, join ways of groups and group welcome templates (wecom-api.md sections 4.4, 4.6, 4.8)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from scrm.kernel.clock import utcnow
from scrm.sync.service.pages import Asked, Item, Page, Reader, one_by_one
from scrm.wecom.client import Client
from scrm.wecom.errors import NotFound

OLDEST = datetime(2021, 7, 10, tzinfo=UTC)  # list_contact_way shows nothing made before (section 4.4)
LIST_LIMIT = 1000


def read_way_list(client: Client, asked: Asked) -> Page:
    """The next page of ids of contact ways; temporary ones are not listed."""
    started = utcnow()
    body = {
        "start_time": int(OLDEST.timestamp()), "end_time": int(started.timestamp()),
        "limit": LIST_LIMIT, "cursor": asked.cursor,
    }  # fmt: skip
    answer = client.post("externalcontact/list_contact_way", body)
    rows = answer.get("contact_way") or []
    items = [Item("contact_way_ids", row["config_id"], {}) for row in rows]
    return Page(started, items=items, cursor=answer.get("next_cursor") or None)


def _reader(entity: str, api: str, id_name: str, inside: str | None) -> Reader:
    """A reader of one thing per call; what WeCom does not know is staged as ``<entity>_gone``."""
    return one_by_one(_asking(entity, api, id_name, inside))


def _asking(entity: str, api: str, id_name: str, inside: str | None) -> Callable[[Client, str], list[Item]]:
    def ask(client: Client, key: str) -> list[Item]:
        try:
            answer = client.post(api, {id_name: key})
        except NotFound:
            return [Item(f"{entity}_gone", key, {})]
        shown = answer[inside] if inside else answer
        body = {name: value for name, value in shown.items() if name not in {"errcode", "errmsg"}}
        return [Item(entity, key, {**body, id_name: key})]

    return ask


read_contact_ways = _reader("contact_ways", "externalcontact/get_contact_way", "config_id", "contact_way")
read_join_ways = _reader("join_ways", "externalcontact/groupchat/get_join_way", "config_id", "join_way")
read_templates = _reader("group_templates", "externalcontact/group_welcome_template/get", "template_id", None)
