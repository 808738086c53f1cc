"""Delete tags and groups: ``{"tag_id": [...], "group_id": [...]}``; result ``{}``; what is gone already is done."""

from __future__ import annotations

from config.queues import Queue
from scrm.wecom.asking import NOT_DONE, content, corp_tags
from scrm.wecom.client import Client
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Json, Kind, Verdict

API = "externalcontact/del_corp_tag"


def send(client: Client, asked: Asked) -> Json:
    """Delete what is named; empty lists are left out."""
    return content(client.post(API, {key: value for key, value in asked.payload.items() if value}))


def ask(client: Client, asked: Asked) -> Answer:
    """Done when none of the ids is left."""
    left: set[str] = set()
    for group in corp_tags(client):
        left |= {group["group_id"], *(tag["id"] for tag in group["tag"])}
    named = {*asked.payload.get("tag_id", []), *asked.payload.get("group_id", [])}
    return NOT_DONE if named & left else Answer(Verdict.DONE)


NO_SUCH_TAG = 40068
KIND = Kind(
    "delete_tag",
    API,
    "externalcontact",
    Queue.EVENTS,
    Priority.TAG,
    send,
    ask,
    already=frozenset({NO_SUCH_TAG}),
    in_order=True,
    ask_api="externalcontact/get_corp_tag_list",
    question=(
        "在管理后台「客户联系 › 企业标签」查看这些标签是否已经删除。",
        "Look in the console under 客户联系 › 企业标签: are these tags gone?",
    ),
)
