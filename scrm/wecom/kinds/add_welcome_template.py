"""A new group welcome template (入群欢迎语): WeCom's fields; result ``{"template_id"}``.

WeCom lists templates to members in the client only, and without its id one cannot be deleted, while 100 are the limit.
So after a lost answer a person looks there and says whether to send it again.
"""

from __future__ import annotations

from config.queues import Queue
from scrm.wecom.asking import posting
from scrm.wecom.client import Client
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Kind, Verdict

API = "externalcontact/group_welcome_template/add"


def ask(client: Client, asked: Asked) -> Answer:
    """Only a person can see it."""
    return Answer(
        Verdict.PERSON,
        reason="no API lists group welcome templates; look for it in the client (客户群 › 入群欢迎语)",
    )


KIND = Kind(
    "add_welcome_template",
    API,
    "externalcontact",
    Queue.EVENTS,
    Priority.TAG,
    posting(API),
    ask,
    question=(
        "请群主在客户端「客户群 › 入群欢迎语」查看素材列表中是否已有这一条。",
        "Ask a group owner to look in the client under 客户群 › 入群欢迎语: is this template in the list?",
    ),
    once=True,
)
