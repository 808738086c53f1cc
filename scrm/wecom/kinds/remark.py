"""Remark and description of one follow: the body of externalcontact/remark; result ``{}``."""

from __future__ import annotations

from typing import Any

from config.queues import Queue
from scrm.wecom.asking import NOT_DONE, follow_of, posting, refused
from scrm.wecom.client import Client
from scrm.wecom.errors import NotFound
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Kind, Verdict

API = "externalcontact/remark"
SEEN_AS = {
    "remark": "remark",
    "description": "description",
    "remark_company": "remark_corp_name",
    "remark_mobiles": "remark_mobiles",
}
"""Field that is set: field that externalcontact/get shows (wecom-api.md section 4.2)."""


def ask(client: Client, asked: Asked) -> Answer:
    """Done when everything that can be seen is as set. A picture cannot be seen; setting it again changes nothing."""
    payload = asked.payload
    try:
        follow = follow_of(client, payload["userid"], payload["external_userid"])
    except NotFound as error:
        return refused(error)
    if follow is None:
        return Answer(Verdict.REFUSED, reason="the member does not follow this customer")
    visible = [name for name in SEEN_AS if name in payload]
    same = all(_plain(payload[name]) == _plain(follow.get(SEEN_AS[name])) for name in visible)
    return Answer(Verdict.DONE) if visible and same else NOT_DONE


def _plain(value: Any) -> Any:
    """``[""]`` clears the mobiles, and what is empty may be missing."""
    return None if value in ("", [], [""]) else value


KIND = Kind(
    "remark",
    API,
    "externalcontact",
    Queue.EVENTS,
    Priority.TAG,
    posting(API),
    ask,
    in_order=True,
    ask_api="externalcontact/get",
    question=(
        "在该客户的资料页查看备注、描述和公司是否已是新的内容。",
        "Look at the customer's profile: do remark, description and company say the new text?",
    ),
)
