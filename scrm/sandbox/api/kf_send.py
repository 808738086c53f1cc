"""kf/send_msg and kf/send_msg_on_event (wecom-api.md §7.5, §7.6)."""

from __future__ import annotations

import re

from scrm.sandbox.api.attachments import check_media
from scrm.sandbox.api.fields import invalid, record, required, text
from scrm.sandbox.api.kf import KF, named_account, required_customer
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.errors import WecomError
from scrm.sandbox.model.kf import ASSISTANT, UNHANDLED, EventCode, KfAccount
from scrm.sandbox.people.kf_life import session_of

BAD_TYPE, EMPTY_TEXT, TOO_LONG, BAD_MEDIA = 40008, 44004, 45002, 40007
OVER_FIVE, OVER_48H, MENU_TOO_LONG, BAD_MENU_ITEM, LOCATION, WRONG_STATE, ENDED_SESSION = (
    95001,
    95002,
    95008,
    95009,
    95022,
    95018,
    95013,
)
TEXT_BYTES, MENU_BYTES, MENU_ITEMS, CLICK_ID, MENU_TEXT = 2_048, 1_024, 10, 64, 128
MEDIA_TYPES = ("image", "voice", "video", "file")
TYPES = ("text", *MEDIA_TYPES, "link", "miniprogram", "msgmenu", "location", "ca_link", "business_card")
MENU_TYPES = ("click", "view", "miniprogram", "text")
MSGID = re.compile(r"[0-9a-zA-Z_-]{1,32}")


@api("kf/send_msg", feature=KF)
def send_msg(call: Call) -> Json:
    """Write to a customer: state 0 or 1, within 48 hours of their last message, at most 5 messages."""
    account = named_account(call)
    external_userid = required_customer(call, "touser")
    kind, content = _checked(call, TYPES)
    session, limits = session_of(call.world, account, external_userid), call.world.limits
    if session.last_message == 0 or call.world.clock.now() - session.last_message >= limits.kf_window_seconds:
        raise WecomError(OVER_48H, "send msg session over 48 hours")
    if session.state not in {UNHANDLED, ASSISTANT}:
        raise WecomError(WRONG_STATE, "session state does not allow sending")
    if session.sent_since >= limits.kf_messages_per_window:
        raise WecomError(OVER_FIVE, "send msg count limit")
    msgid = _msgid(call, account)
    session.sent_since += 1
    return _keep(call, account, external_userid, msgid, kind, content)


@api("kf/send_msg_on_event", feature=KF)
def send_msg_on_event(call: Call) -> Json:
    """One message for a code: welcome, queued, assigned or ended."""
    found = _code(call)
    kind, content = _checked(call, found.types)
    account = call.world.kf.accounts[found.session.open_kfid]
    session = session_of(call.world, account, found.session.external_userid)
    if found.state is not None and session.state != found.state:
        raise WecomError(WRONG_STATE, "session state does not allow sending")
    msgid = _msgid(call, account)
    found.used = True
    if found.kind == "welcome":
        session.last_welcome = call.world.clock.now()
    return _keep(call, account, session.external_userid, msgid, kind, content)


def _code(call: Call) -> EventCode:
    found = call.world.kf.codes.get(required(call.body, "code"))
    if found is None:
        raise invalid("code", "is unknown")
    if found.used:
        raise invalid("code", "has been used")
    if call.world.clock.now() - found.created > found.seconds:
        raise WecomError(ENDED_SESSION, "code expired")
    return found


def _keep(call: Call, account: KfAccount, external_userid: str, msgid: str, kind: str, content: Json) -> Json:
    account.msgids.add(msgid)
    account.sent.append(
        {
            "msgid": msgid,
            "app": call.app.config.name,
            "open_kfid": account.open_kfid,
            "touser": external_userid,
            "msgtype": kind,
            kind: content,
            "at": call.world.clock.now(),
        }
    )
    return {"msgid": msgid}


def _msgid(call: Call, account: KfAccount) -> str:
    given = text(call.body, "msgid")
    if not given:
        return call.world.ids.opaque("", 32)
    if not MSGID.fullmatch(given):
        raise invalid("msgid", "must be at most 32 of 0-9a-zA-Z_-")
    if given in account.msgids:
        raise invalid("msgid", "has been used")
    return given


def _checked(call: Call, types: tuple[str, ...]) -> tuple[str, Json]:
    kind = required(call.body, "msgtype", BAD_TYPE)
    if kind not in types:
        raise WecomError(BAD_TYPE, "invalid message type")
    content = record(call.body, kind)
    if content is None:
        raise invalid(kind, "is missing")
    if kind == "text":
        _check_text(content)
    elif kind == "msgmenu":
        _check_menu(content)
    else:
        _check_other(call, kind, content)
    return kind, content


def _check_text(content: Json) -> None:
    words = text(content, "content")
    if not words:
        raise WecomError(EMPTY_TEXT, "empty content")
    if len(words.encode()) > TEXT_BYTES:
        raise WecomError(TOO_LONG, f"content size out of limit: at most {TEXT_BYTES} bytes")


def _check_menu(content: Json) -> None:
    text(content, "head_content", max_bytes=MENU_BYTES)
    text(content, "tail_content", max_bytes=MENU_BYTES)
    items = content.get("list") or []
    if not isinstance(items, list):
        raise invalid("msgmenu.list", "must be a list")
    if len(items) > MENU_ITEMS:
        raise WecomError(MENU_TOO_LONG, f"menu has more than {MENU_ITEMS} items")
    for item in items:
        kind = item.get("type") if isinstance(item, dict) else None
        if kind not in MENU_TYPES or not isinstance(item.get(kind), dict):
            raise WecomError(BAD_MENU_ITEM, "invalid menu item type")
        if kind == "click":
            text(item[kind], "id", max_bytes=CLICK_ID)
            required(item[kind], "content", max_bytes=MENU_TEXT)


def _check_other(call: Call, kind: str, content: Json) -> None:
    if kind in MEDIA_TYPES:
        check_media(call, required(content, "media_id", BAD_MEDIA), kind)
    elif kind == "link":
        required(content, "title", max_bytes=128)
        text(content, "desc", max_bytes=512)
        required(content, "url", max_bytes=2_048)
        check_media(call, required(content, "thumb_media_id", BAD_MEDIA), "image")
    elif kind == "miniprogram":
        required(content, "appid", max_bytes=32)
        text(content, "title", max_bytes=64)
        required(content, "pagepath", max_bytes=MENU_BYTES)
        check_media(call, required(content, "thumb_media_id", BAD_MEDIA), "image")
    elif kind == "location":
        for name in ("latitude", "longitude"):
            if not isinstance(content.get(name), (int, float)):
                raise WecomError(LOCATION, "invalid location")
