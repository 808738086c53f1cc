"""Control calls about members, departments, member tags and the apps' settings."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from scrm.sandbox.control_api.contact_views import told
from scrm.sandbox.control_api.fields import Body
from scrm.sandbox.control_api.truth import entity
from scrm.sandbox.errors import ControlError
from scrm.sandbox.people import app_settings, departments, member_tags, staff

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrm.sandbox.model.world import World
    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]
TEXTS = ("name", "position", "alias", "telephone", "external_position", "mobile")


def routes(sandbox: Sandbox) -> dict[tuple[str, str], Callable[..., Json]]:
    """Method and path to view."""
    return {
        ("POST", "/staff/create"): lambda: _create(sandbox),
        ("POST", "/staff/update"): lambda: _update(sandbox),
        ("POST", "/staff/delete"): lambda: _delete(sandbox),
        ("POST", "/departments/create"): lambda: _create_department(sandbox),
        ("POST", "/departments/update"): lambda: _update_department(sandbox),
        ("POST", "/departments/delete"): lambda: _delete_department(sandbox),
        ("POST", "/member_tags/create"): lambda: _create_tag(sandbox),
        ("POST", "/member_tags/change"): lambda: _change_tag(sandbox),
        ("POST", "/apps/change"): lambda: _change_app(sandbox),
    }


def _member_fields(body: Body) -> Json:
    """What was given, by the names of model.people.Member."""
    values: Json = {name: body.text(name) for name in TEXTS if body.has(name)}
    if body.has("department"):
        values["departments"] = [body.whole("department", least=1)]
    for given, name in (("departments", "departments"), ("leader_in", "leads")):
        if body.has(given):
            values[name] = body.wholes(given)
    if body.has("direct_leader"):
        values["direct_leaders"] = body.strings("direct_leader")
    if body.has("main_department"):
        values["main_department"] = body.whole("main_department", least=1)
    if body.has("status"):
        values["status"] = body.whole("status", least=1)
    return values


def _create(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    userid = body.string("userid")
    values = {"name": body.string("name"), "departments": [departments.ROOT]} | _member_fields(body)
    body.done()
    with sandbox.world.lock:
        return told(staff.add(sandbox, userid, values))


def _update(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    userid, new_userid = body.string("userid"), body.string("new_userid", None)
    values = _member_fields(body)
    body.done()
    if not values and new_userid is None:
        raise ControlError("nothing to change was given")
    with sandbox.world.lock:
        return told(staff.update(sandbox, userid, values, new_userid))


def _delete(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    userid = body.string("userid")
    body.done()
    with sandbox.world.lock:
        return told(staff.remove(sandbox, userid))


def _create_department(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    name, parentid = body.string("name"), body.whole("parentid", departments.ROOT, 1)
    order = body.whole("order", 0)
    body.done()
    with sandbox.world.lock:
        department_id, made = departments.add(sandbox, name, parentid, order)
        return told(made, id=department_id)


def _update_department(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    department_id, name = body.whole("id", least=1), body.string("name", None)
    parentid, order = body.whole("parentid", None, 1), body.whole("order", None)
    body.done()
    with sandbox.world.lock:
        return told(departments.update(sandbox, department_id, name, parentid, order))


def _delete_department(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    department_id = body.whole("id", least=1)
    body.done()
    with sandbox.world.lock:
        return told(departments.remove(sandbox, department_id))


def _create_tag(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    name = body.string("name")
    body.done()
    with sandbox.world.lock:
        return {"id": member_tags.create(sandbox, name).id}


def _change_tag(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    tag_id = body.whole("id", least=1)
    added, removed = (
        (
            body.strings(f"{verb}_users") if body.has(f"{verb}_users") else [],
            body.wholes(f"{verb}_parties") if body.has(f"{verb}_parties") else [],
        )
        for verb in ("add", "del")
    )
    body.done()
    with sandbox.world.lock:
        return told(member_tags.change(sandbox, tag_id, added, removed))


def _change_app(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    name = body.string("app", "main")
    changes: Json = {}
    for field in ("trusted_ips", "visible"):
        if body.has(field):
            given = body.strings(field, None)
            changes[field] = None if given is None else frozenset(given)
    if body.has("features"):
        changes["features"] = frozenset(body.strings("features"))
    if body.has("secret"):
        changes["secret"] = body.string("secret")
    body.done()
    with sandbox.world.lock:
        return told(app_settings.change(sandbox, name, changes))


def _tag_truth(world: World, item_id: str) -> Json | None:
    found = world.member_tags.get(int(item_id)) if item_id.isdigit() else None
    return None if found is None else asdict(found)


entity("member_tag", _tag_truth, lambda world: world.member_tags)
