"""Delete a group welcome template: ``{"template_id"}``; result ``{}``."""

from __future__ import annotations

from config.queues import Queue
from scrm.wecom.asking import NOT_DONE, posting
from scrm.wecom.client import Client
from scrm.wecom.errors import NotFound, Stop
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Kind, Verdict

API = "externalcontact/group_welcome_template/del"
SHOW = "externalcontact/group_welcome_template/get"


def ask(client: Client, asked: Asked) -> Answer:
    """Done when WeCom does not show the template any more; with which errcode it says so is not documented."""
    try:
        client.post(SHOW, asked.payload)
    except (NotFound, Stop):
        return Answer(Verdict.DONE)
    return NOT_DONE


KIND = Kind(
    "delete_welcome_template",
    API,
    "externalcontact",
    Queue.EVENTS,
    Priority.TAG,
    posting(API),
    ask,
    ask_api="externalcontact/group_welcome_template/get",
    question=(
        "请群主在客户端「客户群 › 入群欢迎语」查看该素材是否已经删除。",
        "Ask a group owner to look in the client under 客户群 › 入群欢迎语: is the template gone?",
    ),
)
