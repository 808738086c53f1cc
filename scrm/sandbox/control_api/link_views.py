"""Control calls about acquisition links: visitors, their messages, the quota, links that stop working."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from scrm.sandbox.control_api.contact_views import check_count, person_of, told
from scrm.sandbox.control_api.fields import Body
from scrm.sandbox.control_api.truth import entity
from scrm.sandbox.errors import ControlError
from scrm.sandbox.people import link_quota, link_visits
from scrm.sandbox.people.link_events import link_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrm.sandbox.model.acquisition import Link
    from scrm.sandbox.model.world import World
    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]
YEAR = 365 * 86_400
MOST_MESSAGES = 1_000


def routes(sandbox: Sandbox) -> dict[tuple[str, str], Callable[..., Json]]:
    """Method and path to view."""
    return {
        ("POST", "/links/visit"): lambda: _visit(sandbox),
        ("POST", "/links/accept"): lambda: _accept(sandbox),
        ("POST", "/links/write"): lambda: _write(sandbox),
        ("POST", "/links/unavailable"): lambda: _end(sandbox, "link_unavailable"),
        ("POST", "/links/delete"): lambda: _end(sandbox, "delete_link"),
        ("POST", "/links/quota"): lambda: _quota(sandbox),
    }


def _find(sandbox: Sandbox, body: Body) -> tuple[Link, str | None]:
    link_id, url = body.string("link_id", None), body.string("url", None)
    if (link_id is None) == (url is None):
        raise ControlError("either link_id or url must be given")
    return link_visits.find_link(sandbox.world, link_id, url)


def _visit(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    with sandbox.world.lock:
        link, channel = _find(sandbox, body)
        how = link_visits.Visit(
            channel=body.string("customer_channel", None) or channel,
            profile=body.flag("profile", default=False),
            request=body.flag("request", default=True),
            accepted=body.flag("accepted", default=True) if body.has("accepted") else None,
        )
        person, count = person_of(body), body.whole("count", 1, 1)
        body.done()
        check_count(person, count)
        return {"people": [link_visits.visit(sandbox, link, person, how) for _ in range(count)]}


def _accept(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    with sandbox.world.lock:
        link, _ = _find(sandbox, body)
        external_userid = body.string("external_userid")
        body.done()
        return link_visits.accept(sandbox, link, external_userid)


def _write(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    userid, external_userid = body.string("userid"), body.string("external_userid")
    number = body.whole("count", 1, 1)
    body.done()
    if number > MOST_MESSAGES:
        raise ControlError(f"count must be at most {MOST_MESSAGES}")
    with sandbox.world.lock:
        return link_visits.write(sandbox, userid, external_userid, number)


def _end(sandbox: Sandbox, change: str) -> Json:
    """The link stops working, or an administrator deletes it in the console."""
    body = Body.of_request()
    with sandbox.world.lock:
        link, _ = _find(sandbox, body)
        body.done()
        link.available = False
        if change == "delete_link":
            del sandbox.world.acquisition.links[link.link_id]
        return told(link_event(sandbox, change, link))


def _quota(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    bought, left = body.whole("buy", None), body.whole("leave", None)
    expires = body.whole("expires", None)
    body.done()
    if (bought is None) == (left is None):
        raise ControlError("either buy or leave must be given")
    with sandbox.world.lock:
        if bought is not None:
            until = sandbox.world.clock.seconds() + YEAR if expires is None else expires
            made = link_quota.buy(sandbox, bought, until)
        else:
            made = link_quota.leave_only(sandbox, left)
        return told(made, balance=link_quota.balance(sandbox.world))


def _truth(world: World, item_id: str) -> Json | None:
    link = world.acquisition.links.get(item_id)
    if link is None:
        return None
    return asdict(link) | {"customers": [asdict(item) for item in link.customers.values()]}


entity("acquisition_link", _truth, lambda world: world.acquisition.links)
