"""Telling whether a transfer at WeCom is the one we asked for (wecom-api.md section 4.12)."""

from __future__ import annotations

from datetime import timedelta

from scrm.kernel.clock import from_epoch
from scrm.wecom.asking import NOT_DONE, pages
from scrm.wecom.client import Client
from scrm.wecom.registry import Answer, Asked, Json, Verdict

CLOCKS_DIFFER = timedelta(minutes=5)  # between WeCom and this machine
PAGE = 1000  # wecom-api.md section 4.7, groupchat/list
WAITING, NO_RECORD = 2, 5
NOT_TOLD = -2
"""Stands for the errcode of somebody whom the lost answer refused: the results do not say why. No code of WeCom's."""


def find_customers(client: Client, asked: Asked, api: str) -> Answer:
    """Look for the payload's customers among the results of the pair.

    One of them there: the call was carried out, and those who are not there were refused. None there: it never
    arrived, or refused all; to call again is safe, WeCom refuses who is in transfer already (40129).
    """
    payload = asked.payload
    wanted = set(payload["external_userid"])
    started = _started(client, asked, api) & wanted
    if started:
        told = [
            {"external_userid": id_, "errcode": 0 if id_ in started else NOT_TOLD} for id_ in sorted(wanted)
        ]
        return Answer(Verdict.DONE, result={"customer": told})
    return NOT_DONE


def _started(client: Client, asked: Asked, api: str) -> set[str]:
    """external_userids whose record can be of this call."""
    pair = {key: asked.payload[key] for key in ("handover_userid", "takeover_userid")}

    def fetch(cursor: str | None) -> Json:
        return client.post(api, pair | ({"cursor": cursor} if cursor else {}))

    rows = [row for page in pages(fetch) for row in page.get("customer") or []]
    return {row["external_userid"] for row in rows if _is_of_this_call(row, asked)}


def _is_of_this_call(row: Json, asked: Asked) -> bool:
    """Waiting ones are; one that has ended is unless its time says that it is of an earlier call."""
    if row.get("status") == NO_RECORD or asked.sent_at is None:
        return False
    if row.get("status") == WAITING or not row.get("takeover_time"):
        return True
    return from_epoch(row["takeover_time"]) >= asked.sent_at - CLOCKS_DIFFER


def find_groups(client: Client, asked: Asked) -> Answer:
    """Look for the payload's groups among those of the new owner; none there: it never arrived, or refused all.

    To call again is safe then: a group that is on its way is refused (90507).
    """
    payload = asked.payload
    wanted, new_owner = set(payload["chat_id_list"]), payload["new_owner"]

    def fetch(cursor: str | None) -> Json:
        body = {"status_filter": 0, "owner_filter": {"userid_list": [new_owner]}, "limit": PAGE}
        return client.post("externalcontact/groupchat/list", body | ({"cursor": cursor} if cursor else {}))

    owned = {row["chat_id"] for page in pages(fetch) for row in page.get("group_chat_list") or []} & wanted
    if owned:
        failed = [{"chat_id": chat_id, "errcode": NOT_TOLD} for chat_id in sorted(wanted - owned)]
        return Answer(Verdict.DONE, result={"failed_chat_list": failed})
    return NOT_DONE
