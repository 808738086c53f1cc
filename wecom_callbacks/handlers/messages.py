"""Members of staff write to our apps and act in them (wecom-api.md section 3.7)."""

from __future__ import annotations

from scrm.conversations.models import Channel, Direction
from scrm.conversations.service.messages import NewMessage, store_app_messages
from scrm.staff.service import doubt_members
from wecom_callbacks.registry import Batch, Callback, Reasons, handles, named, text

KINDS = ("text", "image", "voice", "video", "location", "link")
EVENTS = (
    "subscribe", "unsubscribe", "enter_agent", "LOCATION", "click", "view", "view_miniprogram",
    "scancode_push", "scancode_waitmsg", "pic_sysphoto", "pic_photo_or_album", "pic_weixin", "location_select",
    "template_card_event", "template_card_menu_event", "taskcard_click",
)  # fmt: skip
RANGE_EVENTS = {"subscribe", "unsubscribe"}  # came into or left what the app may see: perhaps the corp too
ENVELOPE = {"ToUserName", "FromUserName", "CreateTime", "MsgType", "MsgId", "AgentID", "Event"}


def member_messages(batch: Batch) -> Reasons:
    """Store messages and events of members; one without a sender is nobody's."""
    told, ignored = named(batch, "FromUserName")
    store_app_messages([_message(callback) for callback in told])
    doubt_members(one.fields["FromUserName"] for one in told if one.event in RANGE_EVENTS)
    return ignored


for _kind in KINDS:
    handles(f"message.{_kind}")(member_messages)
for _event in EVENTS:
    handles(_event)(member_messages)


def _message(callback: Callback) -> NewMessage:
    fields = callback.fields
    is_message = callback.event.startswith("message.")
    return NewMessage(
        channel=Channel.APP,
        key=_key(callback),
        sent_at=callback.event_at,
        direction=Direction.IN if is_message else Direction.EVENT,
        kind=callback.event.removeprefix("message.") if is_message else callback.event,
        text=text(fields.get("Content")),
        media_id=text(fields.get("MediaId")),
        content={name: value for name, value in fields.items() if name not in ENVELOPE},
        app=callback.app,
        userid=str(fields["FromUserName"]),
    )


def _key(callback: Callback) -> str:
    """MsgId of a message. An event has none: its inbox row is unique by the whole body, so its number serves."""
    return text(callback.fields.get("MsgId")) or f"inbox-{callback.row_id}"
