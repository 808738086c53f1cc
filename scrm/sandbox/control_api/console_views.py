"""Control calls of the admin console: tags, staff, departments, raw events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrm.sandbox.control_api.contact_views import told
from scrm.sandbox.control_api.fields import Body
from scrm.sandbox.errors import ControlError
from scrm.sandbox.people import console

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]


def routes(sandbox: Sandbox) -> dict[tuple[str, str], Callable[..., Json]]:
    """Method and path to view."""
    return {
        ("POST", "/tags/create"): lambda: _create_tags(sandbox),
        ("POST", "/tags/edit"): lambda: _edit_tag(sandbox),
        ("POST", "/tags/delete"): lambda: _one(sandbox, "id", console.remove_tag),
        ("POST", "/tags/shuffle"): lambda: _one(sandbox, "group_id", console.shuffle_tags),
        ("POST", "/staff/create"): lambda: _create_member(sandbox),
        ("POST", "/staff/delete"): lambda: _one(sandbox, "userid", console.remove_member),
        ("POST", "/staff/behaviour"): lambda: _behaviour(sandbox),
        ("POST", "/departments/create"): lambda: _create_department(sandbox),
        ("POST", "/events/raw"): lambda: _raw(sandbox),
    }


def _create_tags(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    group_name, names = body.string("group_name"), body.strings("names")
    body.done()
    if not names:
        raise ControlError("names must not be empty")
    with sandbox.world.lock:
        group, made = console.create_tags(sandbox, group_name, names)
        tags = {tag.name: tag.id for tag in group.tags.values()}
        return told(made, group_id=group.id, tags=tags)


def _edit_tag(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    item_id, name, order = body.string("id"), body.string("name", None), body.whole("order", None)
    body.done()
    with sandbox.world.lock:
        return told(console.rename_tag(sandbox, item_id, name, order))


def _one(sandbox: Sandbox, field: str, action: Callable[[Sandbox, str], Any]) -> Json:
    body = Body.of_request()
    value = body.string(field)
    body.done()
    with sandbox.world.lock:
        return told(action(sandbox, value))


def _create_member(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    userid, name = body.string("userid"), body.string("name")
    department = body.whole("department", console.ROOT, 1)
    body.done()
    with sandbox.world.lock:
        return told(console.add_member(sandbox, userid, name, [department]))


def _behaviour(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    userids = body.strings("userids", None)
    changes: Json = {}
    if body.has("confirm_seconds"):
        changes["confirm_seconds"] = body.number("confirm_seconds", None)
    if body.has("contact_limit"):
        changes["contact_limit"] = body.whole("contact_limit", None)
    for name in ("console_welcome", "contact_feature", "verified"):
        if body.has(name):
            changes[name] = body.flag(name, default=True)
    if body.has("status"):
        changes["status"] = body.whole("status", least=1)
    body.done()
    with sandbox.world.lock:
        return {"userids": console.behave(sandbox, userids, changes)}


def _create_department(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    name, parentid = body.string("name"), body.whole("parentid", console.ROOT, 1)
    body.done()
    with sandbox.world.lock:
        department_id, made = console.add_department(sandbox, name, parentid)
        return told(made, id=department_id)


def _raw(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    app, event, rest = body.string("app", None), body.string("event"), body.text("xml", "")
    feature = body.string("feature", "externalcontact")
    body.done()
    with sandbox.world.lock:
        if app is not None:
            sandbox.world.app(app)
        return told(console.raw_event(sandbox, app, event, rest, feature))
