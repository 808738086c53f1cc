"""A new join way of customer groups (加入群聊, 群活码): its WeCom fields; result ``{"config_id", "qr_code"?}``.

WeCom lists join ways nowhere, neither to programs nor in the console, so after a lost answer neither we nor a person can
find out. A way nobody knows leads nobody anywhere and costs one of 500,000: it is made again (ADR 10).
"""

from __future__ import annotations

from config.queues import Queue
from scrm.wecom.asking import content
from scrm.wecom.client import Client
from scrm.wecom.errors import WecomError
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Json, Kind, Verdict

API = "externalcontact/groupchat/add_join_way"
SHOW = "externalcontact/groupchat/get_join_way"


def send(client: Client, asked: Asked) -> Json:
    """Make it, then ask for its picture's address, which only get_join_way tells.

    A failure of the second call must not lose the first: the address is then missing and read later.
    """
    made = content(client.post(API, asked.payload))
    try:
        shown = client.post(SHOW, {"config_id": made["config_id"]})["join_way"]
    except WecomError:
        return made
    return {**made, "qr_code": shown.get("qr_code") or None}


def ask(client: Client, asked: Asked) -> Answer:
    """Make another one: see above."""
    return Answer(Verdict.NOT_DONE, reason="WeCom lists no join ways; one that nobody knows harms nobody")


KIND = Kind(
    "add_join_way",
    API,
    "externalcontact",
    Queue.EVENTS,
    Priority.TAG,
    send,
    ask,
    question=(
        "接口创建的群二维码不在后台显示：若从未得到二维码，可视为未生效并重新创建，多出的一个无人使用。",
        "Join ways made by API are not shown in the console: if nobody ever got its QR code, take it as not done and make it again; a second one that nobody has does no harm.",
    ),
    once=True,
)
