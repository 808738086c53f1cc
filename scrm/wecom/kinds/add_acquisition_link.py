"""A new acquisition link (获客链接): the body of create_link; result ``{"link_id", "url", "create_time"}``."""

from __future__ import annotations

from datetime import timedelta

from config.queues import Queue
from scrm.wecom.asking import NOT_DONE
from scrm.wecom.client import Client
from scrm.wecom.link_match import FOLDER, link_ids, same_link, show_link
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Json, Kind, Verdict

API = f"{FOLDER}/create_link"
CLOCKS_DIFFER = timedelta(minutes=5)  # between WeCom and this machine


def send(client: Client, asked: Asked) -> Json:
    """Make it; WeCom wraps what it made in ``link``."""
    return _result(client.post(API, asked.payload)["link"])


def ask(client: Client, asked: Asked) -> Answer:
    """Look for a link made since it was sent that says the same; two of them: a person has to look."""
    if asked.sent_at is None:
        return NOT_DONE
    since = (asked.sent_at - CLOCKS_DIFFER).timestamp()
    fitting = []
    for link_id in link_ids(client):
        if link_id not in asked.taken:
            shown = show_link(client, link_id)
            if shown["link"].get("create_time", 0) >= since and same_link(shown, asked.payload):
                fitting.append({"link_id": link_id, **shown["link"]})
    if len(fitting) > 1:
        return Answer(Verdict.PERSON, reason=f"{len(fitting)} links at WeCom fit")
    return Answer(Verdict.DONE, result=_result(fitting[0])) if fitting else NOT_DONE


def _result(link: Json) -> Json:
    return {key: link.get(key) for key in ("link_id", "url", "create_time")}


KIND = Kind(
    "add_acquisition_link",
    API,
    "acquisition_links",
    Queue.EVENTS,
    Priority.TAG,
    send,
    ask,
    ask_after=15.0,  # long enough for WeCom to finish a call that hung
    identity="link_id",
    ask_api="externalcontact/customer_acquisition/list_link",
    question=(
        "在管理后台「客户联系 › 获客助手」查看是否已有这个链接。",
        "Look in the console under 客户联系 › 获客助手: is the link there?",
    ),
    once=True,
)
