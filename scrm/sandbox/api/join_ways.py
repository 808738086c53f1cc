"""「加入群聊」 join ways (wecom-api.md §4.8)."""

from __future__ import annotations

from scrm.sandbox.api.contact_ways import (
    BAD_CONFIG,
    BAD_SCENE,
    NO_CONFIG,
    NO_SCENE,
    SCENES,
    choice,
    take_quota,
)
from scrm.sandbox.api.fields import EMPTY, boolean, integer, invalid, strings, text
from scrm.sandbox.api.groups import visible_group
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.errors import WecomError
from scrm.sandbox.model.group_entry import JoinWay
from scrm.sandbox.qr_pictures import address

TOO_MANY_GROUPS = 41091
QR_CODE = 2
GROUPS, REMARK_CHARS, NAME_CHARS, STATE_CHARS = 5, 30, 40, 30
SERIAL_MAX = 2**31


@api("externalcontact/groupchat/add_join_way")
def add_join_way(call: Call) -> Json:
    """Make a way into up to five groups; the QR code is shown by get_join_way only."""
    settings = _settings(call)
    take_quota(call.world)
    world = call.world
    config_id = world.ids.hexadecimal("config_id")
    if settings["scene"] == QR_CODE:
        settings["qr_code"] = address(call.environ, config_id)
    world.join_ways[config_id] = JoinWay(config_id, world.clock.seconds(), settings, call.app.config.name)
    return {"config_id": config_id}


@api("externalcontact/groupchat/get_join_way")
def get_join_way(call: Call) -> Json:
    """All settings of one way."""
    way = _way(call)
    shown = {key: value for key, value in way.settings.items() if value is not None}
    if call.world.limits.join_way_lists_new_groups:
        shown["chat_id_list"] = [*shown["chat_id_list"], *way.rooms][-GROUPS:]
    return {"join_way": {"config_id": way.config_id, **shown}}


@api("externalcontact/groupchat/update_join_way")
def update_join_way(call: Call) -> Json:
    """Overwrite everything: what is not given falls back to its default. The QR code stays."""
    way = _way(call)
    fresh = _settings(call)
    if "qr_code" in way.settings:
        fresh["qr_code"] = way.settings["qr_code"]
    if fresh["room_base_id"] != way.settings["room_base_id"]:
        way.made = 0
    way.settings, way.rooms = fresh, []
    return {}


@api("externalcontact/groupchat/del_join_way")
def del_join_way(call: Call) -> Json:
    """Forget a way; its code leads nowhere afterwards."""
    del call.world.join_ways[_way(call).config_id]
    return {}


def _settings(call: Call) -> Json:
    body = call.body
    settings: Json = {
        "scene": choice(body, "scene", SCENES, NO_SCENE, BAD_SCENE),
        "remark": (text(body, "remark") or "")[:REMARK_CHARS],
        "auto_create_room": int(boolean(body, "auto_create_room", default=True)),
        "room_base_name": text(body, "room_base_name", NAME_CHARS),
        "room_base_id": _serial(body),
        "chat_id_list": _groups(call),
        "state": text(body, "state", STATE_CHARS),
    }
    if "mark_source" in body:
        settings["mark_source"] = boolean(body, "mark_source", default=True)
    return settings


def _serial(body: Json) -> int | None:
    value = integer(body, "room_base_id", -1)
    if value > SERIAL_MAX or (value < 0 and body.get("room_base_id") is not None):
        raise invalid("room_base_id", "is out of range")
    return None if value < 0 else value


def _groups(call: Call) -> list[str]:
    chats = list(dict.fromkeys(strings(call.body, "chat_id_list")))
    if not chats:
        raise WecomError(EMPTY, "missing chat_id_list")
    if len(chats) > GROUPS:
        raise WecomError(TOO_MANY_GROUPS, f"join way: at most {GROUPS} groups")
    for chat_id in chats:
        visible_group(call, chat_id)
    return chats


def _way(call: Call) -> JoinWay:
    config_id = text(call.body, "config_id")
    if not config_id:
        raise WecomError(NO_CONFIG, "missing config_id")
    found = call.world.join_ways.get(config_id)
    if found is None:
        raise WecomError(BAD_CONFIG, "invalid config_id")
    return found
