"""Tags of one follow: ``{"userid", "external_userid", "add_tag": [ids], "remove_tag": [ids]}``; result ``{}``."""

from __future__ import annotations

from config.queues import Queue
from scrm.wecom.asking import NOT_DONE, content, follow_of, refused
from scrm.wecom.client import Client
from scrm.wecom.errors import NotFound
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Json, Kind, Verdict

API = "externalcontact/mark_tag"


def send(client: Client, asked: Asked) -> Json:
    """Set and take away in one call; empty lists are left out (wecom-api.md section 9.3, defect 8)."""
    body = {key: value for key, value in asked.payload.items() if value != []}
    return content(client.post(API, body))


def ask(client: Client, asked: Asked) -> Answer:
    """Done when the follow carries every added tag and none of the removed."""
    payload = asked.payload
    try:
        follow = follow_of(client, payload["userid"], payload["external_userid"])
    except NotFound as error:
        return refused(error)
    if follow is None:
        return Answer(Verdict.REFUSED, reason="the member does not follow this customer")
    present = {tag["tag_id"] for tag in follow.get("tags", []) if "tag_id" in tag}
    wanted, unwanted = set(payload.get("add_tag", [])), set(payload.get("remove_tag", []))
    return Answer(Verdict.DONE) if wanted <= present and not unwanted & present else NOT_DONE


KIND = Kind(
    "mark_tag",
    API,
    "externalcontact",
    Queue.EVENTS,
    Priority.TAG,
    send,
    ask,
    in_order=True,
    ask_api="externalcontact/get",
    question=(
        "在该客户的资料页查看：要加的标签是否都在、要去掉的是否都没有了。",
        "Look at the customer's profile: are all tags to add there and all tags to remove gone?",
    ),
)
