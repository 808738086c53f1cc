"""Control calls about customer groups and mass sends."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from scrm.sandbox.control_api.contact_views import check_count, person_of, told
from scrm.sandbox.control_api.fields import Body
from scrm.sandbox.control_api.truth import entity
from scrm.sandbox.errors import ControlError
from scrm.sandbox.model.groups import JOIN_INVITED, JOIN_LINK, JOIN_QR
from scrm.sandbox.people import broadcasts, group_life, group_scans

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrm.sandbox.model.world import World
    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]
SCENES = (JOIN_INVITED, JOIN_LINK, JOIN_QR)


def routes(sandbox: Sandbox) -> dict[tuple[str, str], Callable[..., Json]]:
    """Method and path to view."""
    return {
        ("POST", "/groups/create"): lambda: _create(sandbox),
        ("POST", "/groups/join"): lambda: _join(sandbox),
        ("POST", "/groups/leave"): lambda: _leave(sandbox),
        ("POST", "/groups/rename"): lambda: _change(sandbox, "change_name", "name"),
        ("POST", "/groups/notice"): lambda: _change(sandbox, "change_notice", "notice"),
        ("POST", "/groups/owner"): lambda: _change(sandbox, "change_owner", "owner"),
        ("POST", "/groups/dismiss"): lambda: _dismiss(sandbox),
        ("POST", "/groups/talk"): lambda: _talk(sandbox),
        ("POST", "/groups/scan"): lambda: _scan(sandbox),
        ("POST", "/groups/template"): lambda: _template(sandbox),
        ("POST", "/groups/behaviour"): lambda: _behaviour(sandbox),
        ("POST", "/broadcast/confirm"): lambda: _confirm(sandbox),
    }


def _create(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    owner, name, people = body.string("owner"), body.string("name", None), body.strings("people", [])
    body.done()
    with sandbox.world.lock:
        group, made = group_life.create(sandbox, owner, name, people)
        return told(made, chat_id=group.chat_id, member_version=group.version)


def _join(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    chat_id, people = body.string("chat_id"), body.strings("people")
    scene = body.whole("join_scene", JOIN_QR)
    if scene not in SCENES:
        raise ControlError("join_scene must be 1 (invited), 2 (link) or 3 (QR)")
    invitor, state = body.string("invitor", None), body.string("state", None)
    body.done()
    with sandbox.world.lock:
        made = group_life.join(sandbox, chat_id, people, scene, invitor, state)
        return told(made, member_version=sandbox.world.groups[chat_id].version)


def _leave(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    chat_id, people = body.string("chat_id"), body.strings("people")
    removed = body.flag("removed", default=False)
    body.done()
    with sandbox.world.lock:
        made = group_life.leave(sandbox, chat_id, people, removed)
        return told(made, member_version=sandbox.world.groups[chat_id].version)


def _change(sandbox: Sandbox, detail: str, name: str) -> Json:
    body = Body.of_request()
    chat_id, value = body.string("chat_id"), body.text(name)
    body.done()
    with sandbox.world.lock:
        return told(group_life.change(sandbox, chat_id, detail, value))


def _dismiss(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    chat_id = body.string("chat_id")
    body.done()
    with sandbox.world.lock:
        return told(group_life.dismiss(sandbox, chat_id))


def _behaviour(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    chat_id = body.string("chat_id")
    changes: Json = {}
    if body.has("capacity"):
        changes["capacity"] = body.whole("capacity", None, 1)
    if body.has("inactive"):
        changes["inactive"] = body.flag("inactive", default=True)
    body.done()
    with sandbox.world.lock:
        group = group_life.behave(sandbox.world, chat_id, changes)
        return {"chat_id": chat_id, "capacity": group.capacity, "inactive": group.inactive}


def _talk(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    chat_id, people, count = body.string("chat_id"), body.strings("people"), body.whole("count", 1, 1)
    body.done()
    with sandbox.world.lock:
        group_life.talk(sandbox.world, chat_id, people, count)
    return told([])


def _scan(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    config_id, state = body.string("config_id", None), body.string("state", None)
    if config_id is None and state is None:
        raise ControlError("config_id or state is missing")
    person, count = person_of(body), body.whole("count", 1, 1)
    body.done()
    check_count(person, count)
    with sandbox.world.lock:
        way = group_scans.find_way(sandbox.world, config_id, state)
        return {"people": [group_scans.scan(sandbox, way, person) for _ in range(count)]}


def _template(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    chat_id, template_id = body.string("chat_id"), body.string("template_id", None)
    body.done()
    with sandbox.world.lock:
        group_life.attach_template(sandbox.world, chat_id, template_id)
    return {"chat_id": chat_id, "template_id": template_id}


def _template_truth(world: World, item_id: str) -> Json | None:
    found = world.welcome_templates.get(item_id)
    if found is None:
        return None
    groups = [item.chat_id for item in world.groups.values() if item.template_id == item_id]
    return {**asdict(found), "groups": groups}


def _join_way(world: World, item_id: str) -> Json | None:
    found = world.join_ways.get(item_id)
    return None if found is None else asdict(found)


entity("join_way", _join_way, lambda world: world.join_ways)
entity("welcome_template", _template_truth, lambda world: world.welcome_templates)


def _confirm(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    msgid, userids = body.string("msgid"), body.strings("userids", None)
    body.done()
    with sandbox.world.lock:
        return {"confirmed": broadcasts.confirm(sandbox.world, msgid, userids)}
