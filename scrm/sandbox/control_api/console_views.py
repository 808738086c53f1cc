"""Control calls of the admin console: tags, how members behave, the archive notice, raw events."""

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
        ("POST", "/tags/delete"): lambda: _delete_tag(sandbox),
        ("POST", "/tags/shuffle"): lambda: _shuffle(sandbox),
        ("POST", "/tags/strategy"): lambda: _strategy(sandbox),
        ("POST", "/staff/behaviour"): lambda: _behaviour(sandbox),
        ("POST", "/archive/notify"): lambda: _archive(sandbox),
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


def _delete_tag(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    item_id = body.string("id")
    body.done()
    with sandbox.world.lock:
        return told(console.remove_tag(sandbox, item_id))


def _shuffle(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    group_id = body.string("group_id", None)
    body.done()
    with sandbox.world.lock:
        return told(console.shuffle_tags(sandbox, group_id))


def _strategy(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    change = body.choice("change", ("create", "update", "delete", "shuffle"), "create")
    kind = body.choice("kind", ("tag", "tag_group"), "tag")
    strategy_id, item_id = body.whole("strategy_id", 1, 1), body.string("id", None)
    body.done()
    with sandbox.world.lock:
        chosen, made = console.strategy_tag(sandbox, change, kind, strategy_id, item_id)
        return told(made, id=chosen)


def _archive(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    app = body.string("app", "main")
    body.done()
    with sandbox.world.lock:
        return told(console.archive_notice(sandbox, app))


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


def _raw(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    app, event, rest = body.string("app", None), body.string("event"), body.text("xml", "")
    feature = body.string("feature", "externalcontact")
    body.done()
    with sandbox.world.lock:
        if app is not None:
            sandbox.world.app(app)
        return told(console.raw_event(sandbox, app, event, rest, feature))
