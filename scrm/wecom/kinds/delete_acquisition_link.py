"""Delete an acquisition link: ``{"link_id"}``; result ``{}``."""

from __future__ import annotations

from config.queues import Queue
from scrm.wecom.asking import NOT_DONE, posting
from scrm.wecom.client import Client
from scrm.wecom.link_match import FOLDER, link_ids
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Kind, Verdict

API = f"{FOLDER}/delete_link"


def ask(client: Client, asked: Asked) -> Answer:
    """Done when the list no longer has it; which errcode names an unknown link is not documented."""
    return NOT_DONE if asked.payload["link_id"] in link_ids(client) else Answer(Verdict.DONE)


KIND = Kind(
    "delete_acquisition_link",
    API,
    "acquisition_links",
    Queue.EVENTS,
    Priority.TAG,
    posting(API),
    ask,
    ask_api="externalcontact/customer_acquisition/list_link",
    question=(
        "在管理后台「客户联系 › 获客助手」查看该链接是否已经删除。",
        "Look in the console under 客户联系 › 获客助手: is the link gone?",
    ),
)
