"""Stop the members who have not sent a broadcast yet: ``{"msgid"}``; result ``{}``."""

from __future__ import annotations

from config.queues import Queue
from scrm.wecom.asking import NOT_DONE, posting, refused
from scrm.wecom.client import Client
from scrm.wecom.errors import NotFound, Stop
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Kind, Verdict

API = "externalcontact/cancel_groupmsg_send"
CANCELLED = 41093


def ask(client: Client, asked: Asked) -> Answer:
    """A cancelled task answers 41093 to every question."""
    try:
        client.post("externalcontact/get_groupmsg_task", {"msgid": asked.payload["msgid"], "limit": 1})
    except NotFound as error:
        return refused(error)
    except Stop as error:
        return Answer(Verdict.DONE) if error.errcode == CANCELLED else refused(error)
    return NOT_DONE


KIND = Kind(
    "broadcast_cancel",
    API,
    "externalcontact",
    Queue.BROADCAST,
    Priority.REPLY,  # somebody wants to stop what is being sent now
    posting(API),
    ask,
    already=frozenset({CANCELLED}),
    ask_api="externalcontact/get_groupmsg_task",
    question=(
        "在发送成员的「群发助手」查看该任务是否已经停止。",
        "Look in a sender's 群发助手: has the task been stopped?",
    ),
)
