"""A welcome message: ``{"welcome_code", "text"?, "attachments"?}``; result ``{}``. 20 seconds, one use."""

from __future__ import annotations

from datetime import timedelta

from config.queues import Queue
from scrm.kernel.clock import utcnow
from scrm.wecom.asking import by_sending_again, posting
from scrm.wecom.client import Client
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Kind, Verdict

API = "externalcontact/send_welcome_msg"
DELIVERED = 41051  # after a call of ours without an answer: it was delivered (wecom-api.md section 4.5)
CODE_IS_DEAD_AFTER = timedelta(seconds=10)  # past our deadline; then calling can only tell, no longer deliver

send = posting(API)


def ask(client: Client, asked: Asked) -> Answer:
    """A code works once, so calling again with it is asking: 41051 says delivered, 41050 says it never was.

    Between our deadline and the code's certain end nothing is called, because it might still deliver, too late.
    """
    if asked.deadline_at and asked.deadline_at < utcnow() < asked.deadline_at + CODE_IS_DEAD_AFTER:
        return Answer(Verdict.OPEN, reason="waiting for the end of the welcome code")
    return by_sending_again(lambda: send(client, asked), done=frozenset({DELIVERED}))


KIND = Kind(
    "welcome",
    API,
    "externalcontact",
    Queue.URGENT,
    Priority.WELCOME,
    send,
    ask,
    ask_after=0.5,
    masked=frozenset({"welcome_code"}),
    backoff=(0.5, 2.0),
    patience=2.0,
    read_timeout=4.0,
    question=(
        "请添加该客户的成员打开与客户的聊天，查看欢迎语是否已经发出。",
        "Ask the member who added the customer to open the chat: was the welcome message sent?",
    ),
)
