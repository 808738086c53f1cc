"""Change a contact way: ``{"config_id", ...}`` as WeCom takes it; result ``{}``."""

from __future__ import annotations

from typing import Any

from config.queues import Queue
from scrm.wecom.asking import NOT_DONE, posting, refused
from scrm.wecom.client import Client
from scrm.wecom.errors import NotFound
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Kind, Verdict

API = "externalcontact/update_contact_way"
UNSEEN = {
    "config_id",
    "conclusions",
}  # a conclusion's picture comes back as an address, so it cannot be compared


def ask(client: Client, asked: Asked) -> Answer:
    """Done when the way shows every changed field; setting a field again to the same changes nothing."""
    try:
        way = client.post("externalcontact/get_contact_way", {"config_id": asked.payload["config_id"]})
    except NotFound as error:
        return refused(error)
    shown = way["contact_way"]
    changed = {key: value for key, value in asked.payload.items() if key not in UNSEEN}
    same = bool(changed) and all(_plain(shown.get(key)) == _plain(value) for key, value in changed.items())
    return Answer(Verdict.DONE) if same else NOT_DONE


def _plain(value: Any) -> Any:
    return sorted(value, key=str) if isinstance(value, list) else value


KIND = Kind(
    "update_contact_way",
    API,
    "externalcontact",
    Queue.EVENTS,
    Priority.TAG,
    posting(API),
    ask,
    in_order=True,
    ask_api="externalcontact/get_contact_way",
    question=(
        "用手机扫描该二维码，查看添加到的成员是否已是新的设置。",
        "Scan the QR code: does it lead to the members that were set last?",
    ),
)
