"""What customers do with acquisition links: click, ask to be added, write (wecom-api.md §3.4, §4.14)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from scrm.sandbox.errors import ControlError
from scrm.sandbox.model.acquisition import ChatKey, LinkCustomer
from scrm.sandbox.people import contacts, link_quota
from scrm.sandbox.people.contacts import Arrival, Person, find_or_make
from scrm.sandbox.people.link_events import chat_started, link_event

if TYPE_CHECKING:
    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.model.acquisition import Link
    from scrm.sandbox.model.people import Customer
    from scrm.sandbox.model.world import World
    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]
VIA_LINK = 16  # add_way, §4.1
CHANNEL_BYTES = 64
TOLD_MESSAGES = (3, 5, 10)
PRIORITY_BY_LIST = 2


@dataclass(frozen=True, slots=True)
class Visit:
    """How far somebody goes: open the member's page, send the request; `accepted` None = as skip_verify says."""

    channel: str | None = None
    profile: bool = False
    request: bool = True
    accepted: bool | None = None


def find_link(world: World, link_id: str | None, url: str | None) -> tuple[Link, str | None]:
    """A link by id or address, with the customer_channel of the address; ControlError 404 for none."""
    channel = None
    if url is not None:
        parts = urlsplit(url)
        channel = parse_qs(parts.query).get("customer_channel", [None])[0]
        bare = f"{parts.scheme}://{parts.netloc}{parts.path}"
        found = next((item for item in world.acquisition.links.values() if item.url == bare), None)
    else:
        found = world.acquisition.links.get(link_id or "")
    if found is None:
        raise ControlError("there is no acquisition link with this link_id or url", 404)
    return found, channel


def visit(sandbox: Sandbox, link: Link, person: Person, how: Visit) -> Json:
    """Somebody clicks; ControlError 409 when the link does not work any more."""
    world = sandbox.world
    if not link.available:
        raise ControlError("this acquisition link does not work any more", 409)
    customer = find_or_make(world, person)
    link.clicks.append((world.clock.now(), customer.external_userid))
    state = cut(how.channel)
    made = link_event(sandbox, "open_profile", link, state) if how.profile else []
    userid = _member_for(world, link)
    if not how.request or not link_quota.balance(world):
        return _told(customer, userid, made, {"requested": False})
    if state:
        made += link_event(sandbox, "friend_request", link, state)
    link.waiting[customer.external_userid] = (userid, state)
    accepted = link.skip_verify if how.accepted is None else how.accepted
    if not accepted:
        return _told(customer, userid, made, {"requested": True})
    added, callbacks = _accept(sandbox, link, customer)
    return _told(customer, userid, made, {"requested": True, **added}) | {
        "callbacks": [item.id for item in made] + added["callbacks"] + callbacks
    }


def accept(sandbox: Sandbox, link: Link, external_userid: str) -> Json:
    """The member approves a request that waits; ControlError 409 when there is none."""
    customer = sandbox.world.customer(external_userid)
    if external_userid not in link.waiting:
        raise ControlError(f"no request of {external_userid!r} waits at this link", 409)
    added, callbacks = _accept(sandbox, link, customer)
    return {**added, "callbacks": added["callbacks"] + callbacks}


def write(sandbox: Sandbox, userid: str, external_userid: str, number: int) -> Json:
    """The customer writes `number` messages: customer_start_chat, and ChatKeys at the 3rd, 5th and 10th."""
    contacts.chats(sandbox, userid, external_userid)
    link, customer = _through(sandbox.world, userid, external_userid)
    made: list[Delivery] = []
    keys: list[str] = []
    for _ in range(number):
        customer.messages += 1
        if customer.messages == 1:
            made += chat_started(sandbox, customer)
        if customer.messages in TOLD_MESSAGES:
            keys.append(_chat_key(sandbox.world, link, customer))
            made += link_event(sandbox, "message_from_customer", link, customer.state, keys[-1])
    return {"messages": customer.messages, "chat_keys": keys, "callbacks": [item.id for item in made]}


def cut(channel: str | None) -> str | None:
    """The channel as state: at most 64 bytes, never half a character."""
    if not channel:
        return None
    return channel.encode()[:CHANNEL_BYTES].decode(errors="ignore")


def _accept(sandbox: Sandbox, link: Link, customer: Customer) -> tuple[Json, list[int]]:
    userid, state = link.waiting.pop(customer.external_userid)
    arrival = Arrival(userid, contacts.FULL, state, VIA_LINK)
    added = contacts.add(sandbox, Person(customer.external_userid), arrival)
    if added["already"]:
        return added, []
    record = LinkCustomer(customer.external_userid, userid, state, sandbox.world.clock.now())
    link.customers[(userid, customer.external_userid)] = record
    return added, [item.id for item in link_quota.use(sandbox)]


def _member_for(world: World, link: Link) -> str:
    """A member of the range who works here; those of the priority list first."""
    here = [item for item in link.people if item in world.members]
    if not here:
        raise ControlError("nobody of this link is left in the corp", 409)
    priority = link.priority or {}
    wanted = (
        priority.get("priority_userid_list") if priority.get("priority_type") == PRIORITY_BY_LIST else None
    )
    preferred = [item for item in here if item in (wanted or ())]
    return world.rng.choice(preferred or here)


def _through(world: World, userid: str, external_userid: str) -> tuple[Link, LinkCustomer]:
    for link in world.acquisition.links.values():
        record = link.customers.get((userid, external_userid))
        if record is not None:
            return link, record
    raise ControlError("this customer did not come through an acquisition link", 409)


def _chat_key(world: World, link: Link, customer: LinkCustomer) -> str:
    key = world.ids.opaque("", 43)
    world.acquisition.chat_keys[key] = ChatKey(
        created=world.clock.now(),
        link_id=link.link_id,
        userid=customer.userid,
        external_userid=customer.external_userid,
        state=customer.state,
        count=customer.messages,
    )
    return key


def _told(customer: Customer, userid: str, made: list[Delivery], more: Json) -> Json:
    return {
        "external_userid": customer.external_userid,
        "userid": userid,
        "name": customer.name,
        "welcome_codes": {},
        "already": False,
        "added": "welcome_codes" in more and not more["already"],
        "callbacks": [item.id for item in made],
        **{key: value for key, value in more.items() if key != "callbacks"},
    }
