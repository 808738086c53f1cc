"""Change a join way: ``{"config_id", ...}`` with every field, because WeCom overwrites all; result ``{}``."""

from __future__ import annotations

from typing import Any

from config.queues import Queue
from scrm.wecom.asking import NOT_DONE, posting, refused
from scrm.wecom.client import Client
from scrm.wecom.errors import NotFound
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Kind, Verdict

API = "externalcontact/groupchat/update_join_way"
SHOW = "externalcontact/groupchat/get_join_way"


def ask(client: Client, asked: Asked) -> Answer:
    """Done when the way shows every field; setting the same again changes nothing."""
    try:
        shown = client.post(SHOW, {"config_id": asked.payload["config_id"]})["join_way"]
    except NotFound as error:
        return refused(error)
    same = all(_plain(shown.get(key)) == _plain(value) for key, value in asked.payload.items())
    return Answer(Verdict.DONE) if same else NOT_DONE


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value or None


KIND = Kind(
    "update_join_way",
    API,
    "externalcontact",
    Queue.EVENTS,
    Priority.TAG,
    posting(API),
    ask,
    in_order=True,
    ask_api="externalcontact/groupchat/get_join_way",
    question=(
        "用手机扫描该二维码，查看进入的群是否已是新的设置。",
        "Scan the QR code: does it lead to the groups that were set last?",
    ),
)
