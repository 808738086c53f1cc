"""A broadcast task (企业群发): the body of add_msg_template; result ``{"msgid", "fail_list"}``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from config.queues import Queue
from scrm.kernel.clock import utcnow
from scrm.wecom.asking import NOT_DONE, pages, posting
from scrm.wecom.broadcast_match import named_recipients, recipients_if_ours, same_message
from scrm.wecom.client import Client
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Json, Kind, Verdict

API = "externalcontact/add_msg_template"
CLOCKS_DIFFER = timedelta(minutes=5)  # between WeCom and this machine
DISPATCHED_AFTER = timedelta(seconds=60)  # by then an accepted task is in the list (41063 before)
PAGE = 100  # wecom-api.md section 4.9
BY_THE_CORP = 0  # filter_type: tasks of the corp, not of members


def ask(client: Client, asked: Asked) -> Answer:
    """Look for our task among those made since it was sent: same message, same senders and recipients.

    Not found after WeCom had time to dispatch it: it never arrived. More than one fits: a person has to look.
    """
    if asked.sent_at is None:
        return NOT_DONE
    found = {msgid: recipients_if_ours(client, msgid, asked.payload) for msgid in _candidates(client, asked)}
    fitting = [(msgid, people) for msgid, people in found.items() if people is not None]
    if len(fitting) == 1:
        return Answer(Verdict.DONE, result=_made(*fitting[0], asked.payload))
    if fitting:
        return Answer(Verdict.PERSON, reason=f"{len(fitting)} tasks at WeCom fit")
    if utcnow() < asked.sent_at + DISPATCHED_AFTER:
        return Answer(Verdict.OPEN, reason="not in WeCom's list yet")
    return NOT_DONE


def _made(msgid: str, people: set[str], payload: Json) -> Json:
    """What the lost answer said. Of groups only those that were sent are shown, so nothing can be said of the others."""
    group = payload.get("chat_type") == "group"
    failed = [] if group else sorted(named_recipients(payload) - people)
    return {"msgid": msgid, "fail_list": failed}


def _candidates(client: Client, asked: Asked) -> Iterator[str]:
    assert asked.sent_at is not None  # noqa: S101  # ask took care
    body = {
        "chat_type": asked.payload.get("chat_type", "single"),
        "start_time": int((asked.sent_at - CLOCKS_DIFFER).timestamp()),
        "end_time": int((utcnow() + CLOCKS_DIFFER).timestamp()),
        "filter_type": BY_THE_CORP,
        "limit": PAGE,
    }

    def fetch(cursor: str | None) -> Json:
        return client.post(
            "externalcontact/get_groupmsg_list_v2", body | ({"cursor": cursor} if cursor else {})
        )

    for page in pages(fetch):
        for task in page.get("group_msg_list", []):
            if task["msgid"] not in asked.taken and same_message(task, asked.payload):
                yield task["msgid"]


KIND = Kind(
    "broadcast",
    API,
    "externalcontact",
    Queue.BROADCAST,
    Priority.BROADCAST,
    posting(API),
    ask,
    ask_after=10.0,
    identity="msgid",
    patience=5.0,
    ask_api="externalcontact/get_groupmsg_list_v2",
    question=(
        "在管理后台「客户联系 › 群发工具」或发送成员的「群发助手」查看是否已有这条群发任务。重复创建会让客户收到两次。",
        "Look in the console under 客户联系 › 群发工具, or in the sender's 群发助手: is the task there? A second one would reach customers twice.",
    ),
    once=True,
)
