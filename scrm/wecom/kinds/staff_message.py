"""A message from the app to members: the body of message/send; result ``{"msgid", "invaliduser", ...}``."""

from __future__ import annotations

from datetime import timedelta

from config.queues import Queue
from scrm.kernel.clock import utcnow
from scrm.wecom.asking import by_sending_again, content
from scrm.wecom.client import Client
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Json, Kind, Verdict

API = "message/send"
INTERVAL_SECONDS = 180  # long enough to take over from a killed worker and ask
SPREAD_SECONDS = 120
MARGIN = timedelta(seconds=15)


def send(client: Client, asked: Asked) -> Json:
    """Send with WeCom's duplicate check on: it drops the same JSON within the interval, in silence."""
    return content(client.post(API, _body(client, asked)))


def ask(client: Client, asked: Asked) -> Answer:
    """Within the interval, sending the same JSON again is asking: it arrives once. Later only a person can know."""
    interval = timedelta(seconds=_body(client, asked)["duplicate_check_interval"])
    if asked.sent_at is None or utcnow() > asked.sent_at + interval - MARGIN:
        return Answer(Verdict.PERSON, reason="too late for WeCom's duplicate check")
    return by_sending_again(lambda: send(client, asked), done=frozenset())


def _body(client: Client, asked: Asked) -> Json:
    """The same for every try of one effect. The interval differs between effects on purpose: two alerts of equal
    text are different JSON then, and the second is not dropped."""
    own = INTERVAL_SECONDS + asked.id % SPREAD_SECONDS
    given = {"agentid": client.agent_id, "duplicate_check_interval": own, **asked.payload}
    return {**given, "enable_duplicate_check": 1}


KIND = Kind(
    "staff_message",
    API,
    "message",
    Queue.URGENT,
    Priority.REPLY,
    send,
    ask,
    masked=frozenset({"text"}),  # may name customers; /alerts shows it within the reader's data scope
    backoff=(1.0, 30.0),
    read_timeout=5.0,
    question=(
        "询问收到通知的成员，或在应用的「消息」中查看这条通知是否已经送达。",
        "Ask the member, or look at the app's messages: did the notice arrive?",
    ),
)
