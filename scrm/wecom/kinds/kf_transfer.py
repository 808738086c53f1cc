"""Hand a customer service session over: ``{"open_kfid", "external_userid", "service_state", "servicer_userid"?}``.

Result ``{"msg_code"?}``: the code for one message about the change.
"""

from __future__ import annotations

from config.queues import Queue
from scrm.wecom.asking import NOT_DONE, posting, refused
from scrm.wecom.client import Client
from scrm.wecom.errors import NotFound
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Kind, Verdict

API = "kf/service_state/trans"


def ask(client: Client, asked: Asked) -> Answer:
    """Done when the session is in the wanted state, with the wanted servicer."""
    payload = asked.payload
    who = {key: payload[key] for key in ("open_kfid", "external_userid")}
    try:
        present = client.post("kf/service_state/get", who)
    except NotFound as error:
        return refused(error)
    servicer = payload.get("servicer_userid")
    same = present["service_state"] == payload["service_state"]
    same_person = servicer is None or servicer.casefold() == present.get("servicer_userid", "").casefold()
    return Answer(Verdict.DONE) if same and same_person else NOT_DONE


KIND = Kind(
    "kf_transfer",
    API,
    "kf",
    Queue.URGENT,
    Priority.REPLY,
    posting(API),
    ask,
    in_order=True,
    backoff=(1.0, 30.0),
    read_timeout=5.0,
    ask_api="kf/service_state/get",
    question=(
        "在微信客服的会话列表中查看该会话现在由谁接待。",
        "Look at the list of conversations in customer service: who serves this one now?",
    ),
)
