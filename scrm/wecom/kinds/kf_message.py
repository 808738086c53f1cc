"""A message in a customer service conversation: the body of kf/send_msg; result ``{"msgid"}``."""

from __future__ import annotations

from config.queues import Queue
from scrm.kernel.clock import utcnow
from scrm.wecom.asking import by_sending_again, content
from scrm.wecom.client import Client
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Json, Kind, Verdict

API = "kf/send_msg"
MSGID_USED = frozenset({40058})  # "unique per account or the call fails" (wecom-api.md section 7.5)
PERHAPS_OUR_OWN = frozenset({95001, 95002, 95013, 95018})  # the fifth message, or the session went on since


def send(client: Client, asked: Asked) -> Json:
    """Send with a msgid of ours, which WeCom takes only once."""
    return content(client.post(API, {"msgid": f"scrm-{asked.id}", **asked.payload}))


def ask(client: Client, asked: Asked) -> Answer:
    """Sending again with the same msgid is asking: it is refused when it arrived.

    After the deadline nothing is called, because it might deliver words that nobody waits for any more.
    """
    if asked.deadline_at and asked.deadline_at < utcnow():
        return Answer(Verdict.PERSON, reason="the deadline passed before WeCom could be asked")
    return by_sending_again(lambda: send(client, asked), done=MSGID_USED, doubtful=PERHAPS_OUR_OWN)


KIND = Kind(
    "kf_message",
    API,
    "kf",
    Queue.URGENT,
    Priority.REPLY,
    send,
    ask,
    backoff=(1.0, 30.0),
    read_timeout=5.0,
    question=(
        "在微信客服的会话记录中查看这条消息是否已经发给客户。重发会让客户收到两次。",
        "Look at the conversation in customer service: did this message reach the customer? Sending again would deliver it twice.",
    ),
)
