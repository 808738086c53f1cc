"""Delete a join way: ``{"config_id"}``; result ``{}``; one that is gone already is done."""

from __future__ import annotations

from config.queues import Queue
from scrm.wecom.asking import NOT_DONE, posting
from scrm.wecom.client import Client
from scrm.wecom.errors import NotFound
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Kind, Verdict

API = "externalcontact/groupchat/del_join_way"
SHOW = "externalcontact/groupchat/get_join_way"
NO_SUCH_WAY = 41044


def ask(client: Client, asked: Asked) -> Answer:
    """Done when WeCom does not know the way any more."""
    try:
        client.post(SHOW, asked.payload)
    except NotFound:
        return Answer(Verdict.DONE)
    return NOT_DONE


KIND = Kind(
    "delete_join_way",
    API,
    "externalcontact",
    Queue.EVENTS,
    Priority.TAG,
    posting(API),
    ask,
    already=frozenset({NO_SUCH_WAY}),
    ask_api="externalcontact/groupchat/get_join_way",
    question=(
        "用手机扫描该二维码，查看是否已经失效。",
        "Scan the QR code: has it stopped working?",
    ),
)
