"""A message answering an event of customer service: the body of kf/send_msg_on_event; result ``{"msgid"}``."""

from __future__ import annotations

from config.queues import Queue
from scrm.wecom.asking import by_sending_again, content
from scrm.wecom.client import Client
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Json, Kind

API = "kf/send_msg_on_event"
USED = frozenset({40058})  # the msgid or the code was used
PERHAPS_OUR_OWN = frozenset({95013, 95018})  # the code has expired, or the session went on since


def send(client: Client, asked: Asked) -> Json:
    """Send with a msgid of ours; code and msgid work once."""
    return content(client.post(API, {"msgid": f"scrm-{asked.id}", **asked.payload}))


def ask(client: Client, asked: Asked) -> Answer:
    """Sending again with the same code and msgid is asking: it is refused when it arrived."""
    return by_sending_again(lambda: send(client, asked), done=USED, doubtful=PERHAPS_OUR_OWN)


KIND = Kind(
    "kf_event_message",
    API,
    "kf",
    Queue.URGENT,
    Priority.WELCOME,
    send,
    ask,
    ask_after=0.5,
    masked=frozenset({"code"}),
    backoff=(0.5, 2.0),
    patience=2.0,
    read_timeout=4.0,
    question=(
        "在微信客服的会话记录中查看这条欢迎语或结束语是否已经发给客户。",
        "Look at the conversation in customer service: did the greeting or farewell reach the customer?",
    ),
)
