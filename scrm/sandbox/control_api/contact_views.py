"""Control calls about customers and members: scan, add, delete, edit, and the truth about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrm.sandbox.control_api.fields import Body
from scrm.sandbox.errors import ControlError
from scrm.sandbox.people import contacts, transfers
from scrm.sandbox.people.contacts import Arrival, Person
from scrm.sandbox.people.events import failed_transfer

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]
MODES = (contacts.FULL, contacts.HALF, contacts.BOTH)
MAX_COUNT = 100_000


def routes(sandbox: Sandbox) -> dict[tuple[str, str], Callable[..., Json]]:
    """Method and path to view."""
    return {
        ("POST", "/people/scan"): lambda: _scan(sandbox),
        ("POST", "/people/add"): lambda: _add(sandbox),
        ("POST", "/people/delete_follow"): lambda: _pair(sandbox, contacts.customer_deletes),
        ("POST", "/people/delete_contact"): lambda: _delete_contact(sandbox),
        ("POST", "/people/edit"): lambda: _edit(sandbox),
        ("POST", "/people/talk"): lambda: _talk(sandbox),
        ("POST", "/people/approve_archive"): lambda: _pair(sandbox, contacts.approve_archive),
        ("POST", "/people/transfer_fail"): lambda: _transfer_fail(sandbox),
        ("POST", "/people/transfer_done"): lambda: _transfer_done(sandbox),
    }


def told(made: list[Delivery], **more: Any) -> Json:
    """The usual answer: ids of the callbacks that were made."""
    return {"callbacks": [item.id for item in made], **more}


def _scan(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    config_id, state = body.string("config_id", None), body.string("state", None)
    if config_id is None and state is None:
        raise ControlError("config_id or state is missing")
    person, count = person_of(body), body.whole("count", 1, 1)
    half = body.choice("half", MODES, None)
    full_after = body.number("full_after", contacts.NEVER)
    body.done()
    check_count(person, count)
    with sandbox.world.lock:
        people = [
            contacts.scan(
                sandbox, contacts.find_way(sandbox.world, config_id, state), person, half, full_after
            )
            for _ in range(count)
        ]
    return {"people": people}


def _add(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    arrival = Arrival(
        userid=body.string("userid"),
        mode=body.choice("half", MODES, contacts.FULL),
        state=body.string("state", None),
        add_way=body.whole("add_way", 3),
        remark=body.text("remark", None),
        full_after=body.number("full_after", contacts.NEVER),
    )
    person, count = person_of(body), body.whole("count", 1, 1)
    body.done()
    check_count(person, count)
    with sandbox.world.lock:
        return {"people": [contacts.add(sandbox, person, arrival) for _ in range(count)]}


def person_of(body: Body) -> Person:
    """Who acts: somebody known by id or unionid, or somebody new."""
    return Person(
        external_userid=body.string("external_userid", None),
        name=body.string("name", None),
        unionid=body.string("unionid", None),
        type=body.whole("type", 1, 1),
        gender=body.whole("gender", None),
        corp_name=body.string("corp_name", None),
    )


def check_count(person: Person, count: int) -> None:
    """ControlError when so many cannot act at once."""
    if count > MAX_COUNT:
        raise ControlError(f"count must be at most {MAX_COUNT}")
    if count > 1 and (person.external_userid or person.unionid):
        raise ControlError("count above 1 makes new people, so external_userid and unionid cannot be given")


def _names(body: Body) -> tuple[str, str]:
    return body.string("userid"), body.string("external_userid")


def _pair(sandbox: Sandbox, action: Callable[[Sandbox, str, str], list[Delivery]]) -> Json:
    body = Body.of_request()
    userid, external_userid = _names(body)
    body.done()
    with sandbox.world.lock:
        return told(action(sandbox, userid, external_userid))


def _delete_contact(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    userid, external_userid = _names(body)
    source = body.string("source", None)
    body.done()
    with sandbox.world.lock:
        return told(contacts.member_deletes(sandbox, userid, external_userid, source))


def _edit(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    userid, external_userid = _names(body)
    changes: Json = {}
    for name in ("remark", "description", "corp_name"):
        if body.has(name):
            changes[name] = body.text(name)
    for name in ("mobiles", "tags", "add_tags", "remove_tags", "own_tags"):
        if body.has(name):
            changes[name] = body.strings(name)
    body.done()
    if not changes:
        raise ControlError("nothing to edit was given")
    with sandbox.world.lock:
        return told(contacts.edit(sandbox, userid, external_userid, changes))


def _talk(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    userid, external_userid = _names(body)
    seconds = body.whole("reply_seconds", None) if body.has("reply_seconds") else 60
    talk = contacts.Talk(body.whole("messages", 1, 1), seconds)
    body.done()
    with sandbox.world.lock:
        contacts.chats(sandbox, userid, external_userid, talk)
    return told([])


def _transfer_fail(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    userid, external_userid = _names(body)
    reason = body.choice("reason", ("customer_refused", "customer_limit_exceed"), "customer_refused")
    body.done()
    with sandbox.world.lock:
        sandbox.world.member(userid)
        sandbox.world.customer(external_userid)
        return told(failed_transfer(sandbox, userid, external_userid, reason))


def _transfer_done(sandbox: Sandbox) -> Json:
    """An on-job transfer completes: the old member loses the customer, the new one gains them (§4.12)."""
    body = Body.of_request()
    old, new = body.string("handover_userid"), body.string("takeover_userid")
    external_userid = body.string("external_userid")
    body.done()
    with sandbox.world.lock:
        world = sandbox.world
        world.customer(external_userid)
        return told(transfers.move(sandbox, world.member(old), world.member(new), external_userid))
