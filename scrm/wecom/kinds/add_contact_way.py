"""A new contact way (渠道活码): its WeCom fields with a unique ``state``; result ``{"config_id", "qr_code"}``."""

from __future__ import annotations

from datetime import timedelta

from config.queues import Queue
from scrm.kernel.clock import utcnow
from scrm.wecom.asking import NOT_DONE, content, pages, posting
from scrm.wecom.client import Client
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Json, Kind, Verdict

API = "externalcontact/add_contact_way"
CLOCKS_DIFFER = timedelta(minutes=5)  # between WeCom and this machine
PAGE = 1000  # wecom-api.md section 4.4
NO_SUCH_WAY = 41044


def ask(client: Client, asked: Asked) -> Answer:
    """Look through the ways made since it was sent for ours, which its ``state`` tells; without one nobody can know."""
    state = asked.payload.get("state")
    if not state or asked.sent_at is None:
        return Answer(Verdict.PERSON, reason="the contact way has no state to know it by")
    for config_id in _made_since(client, asked):
        way = client.post("externalcontact/get_contact_way", {"config_id": config_id})["contact_way"]
        if way.get("state") == state:
            return Answer(Verdict.DONE, result={"config_id": config_id, "qr_code": way.get("qr_code", "")})
    return NOT_DONE


def _made_since(client: Client, asked: Asked) -> list[str]:
    assert asked.sent_at is not None  # noqa: S101  # ask took care
    window = {
        "start_time": int((asked.sent_at - CLOCKS_DIFFER).timestamp()),
        "end_time": int((utcnow() + CLOCKS_DIFFER).timestamp()),
        "limit": PAGE,
    }

    def fetch(cursor: str | None) -> Json:
        return content(
            client.post("externalcontact/list_contact_way", window | ({"cursor": cursor} if cursor else {}))
        )

    ids = [way["config_id"] for page in pages(fetch) for way in page.get("contact_way", [])]
    return [config_id for config_id in reversed(ids) if config_id not in asked.taken]


KIND = Kind(
    "add_contact_way",
    API,
    "externalcontact",
    Queue.EVENTS,
    Priority.TAG,
    posting(API),
    ask,
    ask_after=15.0,  # long enough for WeCom to finish a call that hung
    identity="config_id",
    ask_api="externalcontact/list_contact_way",
    question=(
        "接口创建的「联系我」不在后台显示：若从未得到二维码，可视为未生效并重新创建，多出的一个无人使用。",
        "Contact ways made by API are not shown in the console: if nobody ever got its QR code, take it as not done and make it again; a second one that nobody has does no harm.",
    ),
    once=True,
)
