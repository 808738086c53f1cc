"""Acquisition links 获客助手 (wecom-api.md §4.14)."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING

from scrm.sandbox.api.contact_ways import ACTIVE, NOT_ACTIVE, people_of
from scrm.sandbox.api.fields import (
    EMPTY,
    boolean,
    clipped,
    decode_cursor,
    encode_cursor,
    integer,
    invalid,
    record,
    required,
    strings,
    text,
)
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.api.relations import scoped_member
from scrm.sandbox.errors import WecomError
from scrm.sandbox.model.acquisition import Link
from scrm.sandbox.people.link_quota import alive, balance

if TYPE_CHECKING:
    from collections.abc import Callable

NO_PERMISSION, TOO_MANY_LINKS = 48002, 41095
FOLDER = "externalcontact/customer_acquisition"
RANGE_PEOPLE, LINK_PAGE, CUSTOMER_PAGE = 500, 100, 1_000
PRIORITY_TYPES = (1, 2)
NOTHING_SENT, SENT = 0, 1
SPAN = 30 * 86_400


def _link_api(path: str, methods: str = "POST") -> Callable[[Callable[[Call], Json]], Callable[[Call], Json]]:
    """An API that the system customer-contact secret may not call."""

    def register(handler: Callable[[Call], Json]) -> Callable[[Call], Json]:
        @api(path, methods)
        @wraps(handler)
        def guarded(call: Call) -> Json:
            if call.app.config.system:
                raise WecomError(NO_PERMISSION, "api forbidden for the system secret")
            return handler(call)

        return guarded

    return register


@_link_api(f"{FOLDER}/list_link")
def list_link(call: Call) -> Json:
    """Ids of all links, in pages of 100 at most."""
    limit = clipped(integer(call.body, "limit", LINK_PAGE), LINK_PAGE, LINK_PAGE)
    offset = decode_cursor("links", text(call.body, "cursor"))
    ids = list(call.world.acquisition.links)
    return {"link_id_list": ids[offset : offset + limit], **_next("links", offset + limit, len(ids))}


@_link_api(f"{FOLDER}/get")
def get(call: Call) -> Json:
    """One link with its range and priority."""
    link = _link(call)
    shown: Json = {
        "link_name": link.name,
        "url": link.url,
        "create_time": link.created,
        "skip_verify": link.skip_verify,
    }
    if link.mark_source is not None:
        shown["mark_source"] = link.mark_source
    answer: Json = {"link": shown, "range": link.range}
    if link.priority is not None:
        answer["priority_option"] = link.priority
    return answer


@_link_api(f"{FOLDER}/create_link")
def create_link(call: Call) -> Json:
    """Make a link; 41095 when there are too many."""
    body, world = call.body, call.world
    name = required(body, "link_name")
    given, people = _range(call)
    if len(world.acquisition.links) >= world.limits.acquisition_links:
        raise WecomError(TOO_MANY_LINKS, "acquisition link count out of limit")
    link_id = world.ids.opaque("ca")
    link = Link(
        link_id=link_id,
        name=name,
        url=f"https://work.weixin.invalid/ca/{link_id[2:]}",
        created=world.clock.seconds(),
        skip_verify=boolean(body, "skip_verify", default=True),
        range=given,
        people=people,
        priority=_priority(body, people),
        mark_source=boolean(body, "mark_source", default=True) if "mark_source" in body else None,
        app=call.app.config.name,
    )
    world.acquisition.links[link_id] = link
    shown = {"link_id": link_id, "link_name": name, "url": link.url, "create_time": link.created}
    return {"link": shown}


@_link_api(f"{FOLDER}/update_link")
def update_link(call: Call) -> Json:
    """Change what is given; the range is replaced as a whole."""
    body, link = call.body, _link(call)
    name = required(body, "link_name") if "link_name" in body else link.name
    given, people = _range(call) if "range" in body else (link.range, link.people)
    priority = _priority(body, people) if "priority_option" in body else link.priority
    link.skip_verify = boolean(body, "skip_verify", default=link.skip_verify)
    if "mark_source" in body:
        link.mark_source = boolean(body, "mark_source", default=True)
    link.name, link.range, link.people, link.priority = name, given, people, priority
    return {}


@_link_api(f"{FOLDER}/delete_link")
def delete_link(call: Call) -> Json:
    """Forget a link; no callback, as for every API write."""
    del call.world.acquisition.links[_link(call).link_id]
    return {}


@_link_api(f"{FOLDER}/customer")
def customer(call: Call) -> Json:
    """Everybody who became a contact through the link."""
    link = _link(call)
    limit = clipped(integer(call.body, "limit", CUSTOMER_PAGE), CUSTOMER_PAGE, CUSTOMER_PAGE)
    scope = f"link:{link.link_id}"
    offset = decode_cursor(scope, text(call.body, "cursor"))
    rows = [item for item in link.customers.values() if call.app.sees(item.userid)]
    shown = [
        {
            "external_userid": item.external_userid,
            "userid": item.userid,
            "chat_status": SENT if item.messages else NOTHING_SENT,
            "state": item.state or "",
        }
        for item in rows[offset : offset + limit]
    ]
    return {"customer_list": shown, **_next(scope, offset + limit, len(rows))}


@_link_api(f"{FOLDER}/statistic")
def statistic(call: Call) -> Json:
    """Customers who clicked and who were added in a span of at most 30 days."""
    link = _link(call)
    start, end = integer(call.body, "start_time", -1), integer(call.body, "end_time", -1)
    if start < 0 or end < start or end - start > SPAN:
        raise invalid("start_time, end_time", "must span at most 30 days")
    return {
        "click_link_customer_cnt": len({who for at, who in link.clicks if start <= at <= end}),
        "new_customer_cnt": sum(1 for item in link.customers.values() if start <= item.added <= end),
    }


@_link_api("externalcontact/customer_acquisition_quota", "GET")
def quota(call: Call) -> Json:
    """Adds bought and left, by expiry."""
    batches = alive(call.world)
    return {
        "total": sum(item.total for item in batches),
        "balance": balance(call.world),
        "quota_list": [{"expire_date": item.expires, "balance": item.balance} for item in batches],
    }


@_link_api(f"{FOLDER}/get_chat_info")
def get_chat_info(call: Call) -> Json:
    """Who wrote, by the ChatKey of an event; it lives for 30 minutes."""
    found = call.world.acquisition.chat_keys.get(required(call.body, "chat_key"))
    if found is None or call.world.clock.now() - found.created > call.world.limits.chat_key_seconds:
        raise invalid("chat_key", "is unknown or expired")
    info = {"recv_msg_cnt": found.count, "link_id": found.link_id, "state": found.state or ""}
    return {"userid": found.userid, "external_userid": found.external_userid, "chat_info": info}


def _link(call: Call) -> Link:
    found = call.world.acquisition.links.get(required(call.body, "link_id"))
    if found is None:
        raise invalid("link_id", "is unknown")
    return found


def _range(call: Call) -> tuple[Json, tuple[str, ...]]:
    given = record(call.body, "range") or {}
    users, parties = strings(given, "user_list"), given.get("department_list") or []
    if not isinstance(parties, list) or not all(isinstance(item, int) for item in parties):
        raise invalid("department_list", "must be a list of numbers")
    people = tuple(dict.fromkeys([*users, *people_of(call, parties)]))
    if not people:
        raise WecomError(EMPTY, "missing range")
    if len(people) > RANGE_PEOPLE:
        raise invalid("range", f"exceeds {RANGE_PEOPLE} people")
    for userid in people:
        if scoped_member(call, userid).status != ACTIVE:
            raise WecomError(NOT_ACTIVE, "user not activated")
    return {"user_list": users, "department_list": parties}, people


def _priority(body: Json, people: tuple[str, ...]) -> Json | None:
    given = record(body, "priority_option")
    if given is None:
        return None
    kind = integer(given, "priority_type", allowed=PRIORITY_TYPES)
    chosen = strings(given, "priority_userid_list")
    if any(item not in people for item in chosen):
        raise invalid("priority_userid_list", "must be within the range")
    return {"priority_type": kind, "priority_userid_list": chosen}


def _next(scope: str, offset: int, total: int) -> Json:
    return {"next_cursor": encode_cursor(scope, offset) if offset < total else ""}
