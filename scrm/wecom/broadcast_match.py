"""Telling whether a broadcast task at WeCom is the one we tried to make."""

from __future__ import annotations

from scrm.wecom.asking import pages
from scrm.wecom.client import Client
from scrm.wecom.registry import Json

PAGE = 1000  # wecom-api.md section 4.9
IMAGE = "image"  # comes back as media_id or address, so only its presence can be compared
RENEWED = {"media_id", "pic_media_id"}  # another one every three days for the same file


def same_message(task: Json, payload: Json) -> bool:
    """Whether a task of get_groupmsg_list_v2 has the payload's text and attachments."""
    text = (task.get("text") or {}).get("content") or ""
    wanted = (payload.get("text") or {}).get("content") or ""
    return text == wanted and _attachments(task) == _attachments(payload)


def _attachments(message: Json) -> list[tuple[str, Json]]:
    found = []
    for item in message.get("attachments") or []:
        kind = item["msgtype"]
        details = (
            {}
            if kind == IMAGE
            else {k: v for k, v in (item.get(kind) or {}).items() if v and k not in RENEWED}
        )
        found.append((kind, details))
    return found


def recipients_if_ours(client: Client, msgid: str, payload: Json) -> set[str] | None:
    """Recipients of a task with the payload's sender and nobody the payload does not name; None: not our task."""
    senders = _senders(client, msgid)
    wanted = payload.get("sender")
    if wanted and {userid.casefold() for userid in senders} != {wanted.casefold()}:
        return None
    key = "chat_id" if payload.get("chat_type") == "group" else "external_userid"
    found: set[str] = set().union(*(_recipients(client, msgid, userid, key) for userid in senders))
    named = named_recipients(payload)
    return found if found <= named or not named else None


def named_recipients(payload: Json) -> set[str]:
    """Customers or groups the payload names; empty when the sender's all are meant."""
    return set(payload.get("external_userid") or payload.get("chat_id_list") or [])


def _senders(client: Client, msgid: str) -> list[str]:
    def fetch(cursor: str | None) -> Json:
        body = {"msgid": msgid, "limit": PAGE} | ({"cursor": cursor} if cursor else {})
        return client.post("externalcontact/get_groupmsg_task", body)

    return [task["userid"] for page in pages(fetch) for task in page.get("task_list", [])]


def _recipients(client: Client, msgid: str, userid: str, key: str) -> set[str]:
    def fetch(cursor: str | None) -> Json:
        body = {"msgid": msgid, "userid": userid, "limit": PAGE} | ({"cursor": cursor} if cursor else {})
        return client.post("externalcontact/get_groupmsg_send_result", body)

    return {sent[key] for page in pages(fetch) for sent in page.get("send_list", [])}
