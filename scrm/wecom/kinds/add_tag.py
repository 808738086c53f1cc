"""New tags: ``{"group_id" | "group_name", "tag": [{"name", "order"?}]}``; result ``{"tag_group": {...}}``."""

from __future__ import annotations

from config.queues import Queue
from scrm.wecom.asking import NOT_DONE, corp_tags, posting
from scrm.wecom.client import Client
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Json, Kind, Verdict

API = "externalcontact/add_corp_tag"


def ask(client: Client, asked: Asked) -> Answer:
    """Done when the group holds a tag of every wanted name; the call makes all of them or none."""
    names = [tag["name"] for tag in asked.payload["tag"]]
    for group in corp_tags(client):
        if not _is_named(group, asked.payload):
            continue
        made = [tag for tag in group["tag"] if tag["name"] in names]
        if {tag["name"] for tag in made} == set(names):
            return Answer(Verdict.DONE, result={"tag_group": {**group, "tag": made}})
    return NOT_DONE


def _is_named(group: Json, payload: Json) -> bool:
    if payload.get("group_id"):  # wins over the name (wecom-api.md section 4.3)
        return bool(group["group_id"] == payload["group_id"])
    return bool(group["group_name"] == payload.get("group_name"))


KIND = Kind(
    "add_tag",
    API,
    "externalcontact",
    Queue.EVENTS,
    Priority.TAG,
    posting(API),
    ask,
    in_order=True,
    ask_api="externalcontact/get_corp_tag_list",
    question=(
        "在管理后台「客户联系 › 企业标签」查看这些标签是否已经建立。",
        "Look in the console under 客户联系 › 企业标签: do these tags exist?",
    ),
)
