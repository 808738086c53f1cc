"""Name or order of a tag or tag group: ``{"id", "name"?, "order"?}``; result ``{}``."""

from __future__ import annotations

from collections.abc import Iterator

from config.queues import Queue
from scrm.wecom.asking import NOT_DONE, corp_tags, posting
from scrm.wecom.client import Client
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Json, Kind, Verdict

API = "externalcontact/edit_corp_tag"
NO_SUCH_TAG = 40068


def ask(client: Client, asked: Asked) -> Answer:
    """Done when the tag or group of that id has the wanted name and order."""
    wanted = {key: value for key, value in asked.payload.items() if key in {"name", "order"}}
    for item in _named(corp_tags(client)):
        if item["id"] == asked.payload["id"]:
            same = all(item.get(key) == value for key, value in wanted.items())
            return Answer(Verdict.DONE) if same else NOT_DONE
    return Answer(Verdict.REFUSED, errcode=NO_SUCH_TAG, reason="no such tag or tag group")


def _named(groups: list[Json]) -> Iterator[Json]:
    for group in groups:
        yield {"id": group["group_id"], "name": group["group_name"], "order": group.get("order")}
        yield from group["tag"]


KIND = Kind(
    "edit_tag",
    API,
    "externalcontact",
    Queue.EVENTS,
    Priority.TAG,
    posting(API),
    ask,
    in_order=True,
    ask_api="externalcontact/get_corp_tag_list",
    question=(
        "在管理后台「客户联系 › 企业标签」查看该标签是否已改为新名称或新顺序。",
        "Look in the console under 客户联系 › 企业标签: has the tag its new name or place?",
    ),
)
