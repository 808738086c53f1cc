"""Change an acquisition link: ``{"link_id", "link_name", "range", …}``; the range is replaced; result ``{}``."""

from __future__ import annotations

from config.queues import Queue
from scrm.wecom.asking import NOT_DONE, posting
from scrm.wecom.client import Client
from scrm.wecom.link_match import FOLDER, same_link, show_link
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Kind, Verdict

API = f"{FOLDER}/update_link"


def ask(client: Client, asked: Asked) -> Answer:
    """Done when the link shows the same; setting it again changes nothing."""
    shown = show_link(client, asked.payload["link_id"])
    return Answer(Verdict.DONE) if same_link(shown, asked.payload) else NOT_DONE


KIND = Kind(
    "update_acquisition_link",
    API,
    "acquisition_links",
    Queue.EVENTS,
    Priority.TAG,
    posting(API),
    ask,
    in_order=True,
    ask_api="externalcontact/customer_acquisition/get",
    question=(
        "在管理后台「客户联系 › 获客助手」查看该链接是否已是新的设置。",
        "Look in the console under 客户联系 › 获客助手: has the link its new settings?",
    ),
)
