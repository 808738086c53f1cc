"""Control calls about customer service and members' messages to the app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrm.sandbox.control_api.contact_views import told
from scrm.sandbox.control_api.fields import Body
from scrm.sandbox.errors import ControlError
from scrm.sandbox.model.media import Media
from scrm.sandbox.people import app_messages, kf_accounts, kf_life
from scrm.sandbox.people.contacts import Person, find_or_make

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrm.sandbox.model.kf import KfAccount
    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]
PIXEL = b"\x89PNG\r\n\x1a\n" + bytes(64)  # stands for whatever picture a customer sends


def routes(sandbox: Sandbox) -> dict[tuple[str, str], Callable[..., Json]]:
    """Method and path to view."""
    return {
        ("POST", "/people/chat"): lambda: _chat(sandbox),
        ("POST", "/kf/enter"): lambda: _enter(sandbox),
        ("POST", "/kf/servicer_reply"): lambda: _reply(sandbox),
        ("POST", "/kf/servicer_take"): lambda: _take(sandbox),
        ("POST", "/kf/servicer_end"): lambda: _end(sandbox),
        ("POST", "/kf/servicer_status"): lambda: _status(sandbox),
        ("POST", "/kf/event"): lambda: _event(sandbox),
        ("POST", "/kf/grant"): lambda: _grant(sandbox),
        ("POST", "/kf/create"): lambda: _create(sandbox),
        ("POST", "/kf/delete"): lambda: _delete(sandbox),
        ("POST", "/staff/message"): lambda: _message(sandbox),
        ("POST", "/staff/event"): lambda: _member_event(sandbox),
    }


def _who(sandbox: Sandbox, body: Body) -> tuple[KfAccount, str]:
    """The account, and the customer: a new person when no external_userid is given."""
    account = kf_life.account_of(sandbox.world, body.string("open_kfid", None))
    person = Person(body.string("external_userid", None), body.string("name", None))
    return account, find_or_make(sandbox.world, person).external_userid


def _message_body(sandbox: Sandbox, body: Body, default: str) -> Json:
    kind = body.string("msgtype", "text")
    content = body.string("content", default)
    given = body.record("message", None)
    if given is not None:
        return {"msgtype": kind, kind: given}
    if kind == "text":
        menu_id = body.string("menu_id", None)
        return {"msgtype": kind, kind: {"content": content} | ({"menu_id": menu_id} if menu_id else {})}
    if kind in {"image", "voice", "video", "file"}:
        return {"msgtype": kind, kind: {"media_id": _received_media(sandbox, kind)}}
    raise ControlError(f"give message, the {kind} object of wecom-api.md §7.3")


def _received_media(sandbox: Sandbox, kind: str) -> str:
    world = sandbox.world
    media = Media(world.ids.opaque("", 64), kind, f"customer.{kind}", PIXEL, world.clock.now(), None)
    world.media[media.media_id] = media
    return media.media_id


def _chat(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    with sandbox.world.lock:
        account, external_userid = _who(sandbox, body)
        count = body.whole("count", 1, 1)
        message = _message_body(sandbox, body, "你好")
        body.done()
        made = kf_life.customer_writes(sandbox, account, external_userid, [message] * count)
        return told(made, external_userid=external_userid, open_kfid=account.open_kfid)


def _enter(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    with sandbox.world.lock:
        account, external_userid = _who(sandbox, body)
        scene, parameter = body.text("scene", ""), body.text("scene_param", "")
        body.done()
        made = kf_life.enter(sandbox, account, external_userid, scene, parameter)
        event = account.log[-1][1]["event"]
        return told(made, external_userid=external_userid, welcome_code=event.get("welcome_code"))


def _reply(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    with sandbox.world.lock:
        account, external_userid = _who(sandbox, body)
        userid, message = body.string("userid"), _message_body(sandbox, body, "您好，我来帮您")
        body.done()
        return told(kf_life.servicer_writes(sandbox, account, external_userid, userid, message))


def _take(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    with sandbox.world.lock:
        account, external_userid = _who(sandbox, body)
        userid = body.string("userid")
        body.done()
        return told(kf_life.servicer_takes(sandbox, account, external_userid, userid))


def _end(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    with sandbox.world.lock:
        account, external_userid = _who(sandbox, body)
        body.done()
        return told(kf_life.servicer_ends(sandbox, account, external_userid))


def _status(sandbox: Sandbox) -> Json:
    """A servicer starts or stops serving: servicer_status_change counts 1 serving, 2 stopped (§7.4)."""
    body = Body.of_request()
    with sandbox.world.lock:
        account = kf_life.account_of(sandbox.world, body.string("open_kfid", None))
        userid, serving = body.string("userid"), body.flag("serving", default=True)
        body.done()
        sandbox.world.member(userid)
        account.servicers[userid] = 0 if serving else 1
        event = {
            "event_type": "servicer_status_change",
            "servicer_userid": userid,
            "status": 1 if serving else 2,
        }
        return told(kf_life.add_event(sandbox, account, event))


def _event(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    with sandbox.world.lock:
        account = kf_life.account_of(sandbox.world, body.string("open_kfid", None))
        event = body.record("event")
        body.done()
        if not isinstance(event.get("event_type"), str):
            raise ControlError("event.event_type is missing")
        return told(kf_life.add_event(sandbox, account, event))


def _grant(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    with sandbox.world.lock:
        account = kf_life.account_of(sandbox.world, body.string("open_kfid", None))
        apps = body.strings("apps", None)
        body.done()
        return told(kf_life.grant(sandbox, account, apps))


def _create(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    name, servicers = body.string("name"), body.strings("servicers", [])
    body.done()
    with sandbox.world.lock:
        account, made = kf_accounts.create(sandbox, name, servicers)
        return told(made, open_kfid=account.open_kfid)


def _delete(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    open_kfid = body.string("open_kfid")
    body.done()
    with sandbox.world.lock:
        return told(kf_accounts.delete(sandbox, open_kfid))


def _message(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    app, userid = body.string("app", "main"), body.string("userid")
    kind = body.string("msgtype", "text")
    values: dict[str, str] = dict(body.record("fields", {}))
    content = body.string("content", None)
    if content is not None:
        values["Content"] = content
    body.done()
    with sandbox.world.lock:
        return told(app_messages.member_writes(sandbox, app, userid, kind, values))


def _member_event(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    app, userid, event = body.string("app", "main"), body.string("userid"), body.string("event")
    values: dict[str, str] = body.record("fields", {})
    body.done()
    if not all(isinstance(item, str) for item in values.values()):
        raise ControlError("fields must map names to strings")
    with sandbox.world.lock:
        return told(app_messages.member_event(sandbox, app, userid, event, values))
