"""What customers and members do to their relation, in the clients: add, delete, edit, chat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scrm.sandbox.errors import ControlError
from scrm.sandbox.model.activity import CHATS, FEEDBACK, MESSAGES, REPLIED, REPLY_SECONDS
from scrm.sandbox.model.people import WECHAT_USER, Customer, Follow, Member
from scrm.sandbox.model.tags import WelcomeRound
from scrm.sandbox.people.events import added_follow, edited_follow, ended_follow
from scrm.sandbox.people.names import FULL_NAMES
from scrm.sandbox.people.natural_days import day_of

if TYPE_CHECKING:
    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.model.tags import ContactWay
    from scrm.sandbox.model.world import World
    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]
FULL, HALF, BOTH = "full", "half", "both"
SCANNED = 1
NEVER = -1.0


@dataclass(frozen=True, slots=True)
class Person:
    """Who adds; everything None = somebody new."""

    external_userid: str | None = None
    name: str | None = None
    unionid: str | None = None
    type: int = WECHAT_USER
    gender: int | None = None
    corp_name: str | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """How somebody adds: `mode` full, half, or both (half first, then the member adds back)."""

    userid: str
    mode: str = FULL
    state: str | None = None
    add_way: int = SCANNED
    remark: str | None = None
    full_after: float = NEVER


def find_way(world: World, config_id: str | None, state: str | None) -> ContactWay:
    """A contact way by id, or the newest one with this state; ControlError 404 when there is none."""
    if config_id is not None:
        found = world.contact_ways.get(config_id)
    else:
        ways = (item for item in reversed(world.contact_ways.values()) if item.state == state)
        found = next(ways, None)
    if found is None:
        raise ControlError("there is no contact way with this config_id or state", 404)
    return found


def scan(sandbox: Sandbox, way: ContactWay, person: Person, half: str | None, full_after: float) -> Json:
    """Somebody scans a contact way; WeCom picks one of its members (§4.4)."""
    here = [item for item in way.people if item in sandbox.world.members]
    if not here:
        raise ControlError("nobody of this contact way is left in the corp", 409)
    userid = sandbox.world.rng.choice(here)
    mode = half or (BOTH if way.settings["skip_verify"] else FULL)
    answer = add(sandbox, person, Arrival(userid, mode, way.state, SCANNED, None, full_after))
    if way.settings["is_temp"] and not answer["already"]:
        del sandbox.world.contact_ways[way.config_id]  # a temporary code dies after one add
    return answer


def add(sandbox: Sandbox, person: Person, arrival: Arrival) -> Json:
    """A customer and a member become contacts; callbacks and welcome codes follow §3.1."""
    world = sandbox.world
    member = world.member(arrival.userid)
    customer = find_or_make(world, person)
    follow = customer.follow_of(member.userid)
    if follow is not None and not follow.deleted_by_customer and not follow.half:
        return _told(customer, member, [], {}, already=True)
    follow = _befriend(world, customer, member, follow, arrival)
    welcome = welcome_round(world, member, customer, follow)
    if arrival.mode == FULL:
        made, codes = added_follow(sandbox, follow, "add_external_contact", welcome)
        return _told(customer, member, made, codes)
    follow.half = True
    member.listing = None
    made, codes = added_follow(sandbox, follow, "add_half_external_contact", welcome)
    if arrival.mode == BOTH:
        made = made + _add_back(sandbox, follow, welcome, arrival.full_after)
    return _told(customer, member, made, codes)


def _add_back(
    sandbox: Sandbox, follow: Follow, welcome: WelcomeRound | None, full_after: float
) -> list[Delivery]:
    """The member adds the customer back, now or after some seconds of the sandbox's clock."""
    world = sandbox.world
    wait = world.limits.half_to_full_seconds if full_after == NEVER else full_after

    def now() -> list[Delivery]:
        if world.follow(follow.userid, follow.external_userid) is not follow or not follow.half:
            return []
        follow.half = False
        world.members[follow.userid].listing = None
        still_open = welcome is not None and welcome.sent_at is None and not welcome.chatted
        return added_follow(sandbox, follow, "add_external_contact", welcome if still_open else None)[0]

    if wait <= 0:
        return now()
    sandbox.scheduler.at(world.clock.now() + wait, now)
    return []


def customer_deletes(sandbox: Sandbox, userid: str, external_userid: str) -> list[Delivery]:
    """The customer deletes the member: a one-way relation remains (§1.3, 84061)."""
    follow = _follow(sandbox.world, userid, external_userid)
    follow.deleted_by_customer = True
    sandbox.world.activity.member(userid, day_of(sandbox.world.clock.now()))[FEEDBACK] += 1
    return ended_follow(sandbox, follow, "del_follow_user")


def member_deletes(
    sandbox: Sandbox, userid: str, external_userid: str, source: str | None = None
) -> list[Delivery]:
    """The member deletes the customer: the relation is gone."""
    follow = _follow(sandbox.world, userid, external_userid)
    sandbox.world.members[userid].remove(external_userid)
    sandbox.world.customers[external_userid].follows.remove(follow)
    return ended_follow(sandbox, follow, "del_external_contact", source)


def edit(sandbox: Sandbox, userid: str, external_userid: str, changes: Json) -> list[Delivery]:
    """The member edits the relation in the client; editing only the mobiles calls nobody (§3.1)."""
    follow = _follow(sandbox.world, userid, external_userid)
    for tag_id in (*changes.get("add_tags", ()), *changes.get("tags", ())):
        if tag_id not in sandbox.world.tags:
            raise ControlError(f"there is no tag {tag_id!r}", 404)
    for name in ("remark", "description", "corp_name"):
        if name in changes:
            setattr(follow, name, changes[name])
    if "mobiles" in changes:
        follow.mobiles = tuple(changes["mobiles"])
    if "own_tags" in changes:
        follow.own_tags = tuple(changes["own_tags"])
    tags = changes.get("tags", follow.tags)
    gone = set(changes.get("remove_tags", ()))
    follow.tags = tuple(dict.fromkeys(i for i in (*tags, *changes.get("add_tags", ())) if i not in gone))
    return [] if set(changes) <= {"mobiles"} else edited_follow(sandbox, follow)


@dataclass(frozen=True, slots=True)
class Talk:
    """A chat between customer and member, for the statistics; `reply_seconds` None = the member did not answer."""

    messages: int = 1
    reply_seconds: int | None = 60


def chats(sandbox: Sandbox, userid: str, external_userid: str, talk: Talk | None = None) -> None:
    """Customer and member talk: welcome codes become 41051, and mass sends go to this member (§4.5, §4.9)."""
    follow = _follow(sandbox.world, userid, external_userid)
    talk = talk or Talk()
    today = sandbox.world.activity.member(userid, day_of(sandbox.world.clock.now()))
    today.update({CHATS: 1, MESSAGES: talk.messages})
    if talk.reply_seconds is not None:
        today.update({REPLIED: 1, REPLY_SECONDS: talk.reply_seconds})
    follow.last_chat = sandbox.world.clock.now()
    welcome = sandbox.world.welcome_rounds.get((userid, external_userid))
    if welcome is not None:
        welcome.chatted = True


def approve_archive(sandbox: Sandbox, userid: str, external_userid: str) -> list[Delivery]:
    """The customer agrees to archiving: msg_audit_approved."""
    follow = _follow(sandbox.world, userid, external_userid)
    return added_follow(sandbox, follow, "msg_audit_approved", None)[0]


def _follow(world: World, userid: str, external_userid: str) -> Follow:
    world.member(userid)
    world.customer(external_userid)
    found = world.follow(userid, external_userid)
    if found is None:
        raise ControlError(f"{userid!r} and {external_userid!r} are not contacts", 409)
    return found


def find_or_make(world: World, person: Person) -> Customer:
    """The customer named by id or unionid, or somebody new."""
    if person.external_userid is not None:
        return world.customer(person.external_userid)
    if person.unionid is not None and person.unionid in world.by_unionid:
        return world.by_unionid[person.unionid]
    prefix = "wm" if person.type == WECHAT_USER else "wo"
    customer = Customer(
        external_userid=world.ids.opaque(prefix),
        name=person.name or world.rng.choice(FULL_NAMES),
        gender=world.rng.randint(0, 2) if person.gender is None else person.gender,
        type=person.type,
        given_unionid=person.unionid,
        corp_name=person.corp_name,
    )
    world.customers[customer.external_userid] = customer
    if person.unionid is not None:
        world.by_unionid[person.unionid] = customer
    return customer


def _befriend(
    world: World, customer: Customer, member: Member, old: Follow | None, arrival: Arrival
) -> Follow:
    """Start a relation, or start it again after the customer had deleted the member: the remark survives."""
    if old is not None:
        old.deleted_by_customer, old.half = False, False
        old.createtime, old.state, old.add_way = world.clock.seconds(), arrival.state, arrival.add_way
        member.listing = None
        return old
    follow = Follow(
        userid=member.userid,
        external_userid=customer.external_userid,
        createtime=world.clock.seconds(),
        add_way=arrival.add_way,
        state=arrival.state,
        remark=customer.name if arrival.remark is None else arrival.remark,
        oper_userid=customer.external_userid,
    )
    customer.follows.append(follow)
    member.add(follow)
    return follow


def welcome_round(world: World, member: Member, customer: Customer, follow: Follow) -> WelcomeRound | None:
    """No code for WeCom users, where the console already welcomes, nor for people who have chatted (§3.1)."""
    if customer.type != WECHAT_USER or member.console_welcome or follow.last_chat:
        return None
    fresh = WelcomeRound(member.userid, customer.external_userid, world.clock.now())
    world.welcome_rounds[(member.userid, customer.external_userid)] = fresh
    return fresh


def _told(
    customer: Customer, member: Member, made: list[Delivery], codes: dict[str, str], already: bool = False
) -> Json:
    return {
        "external_userid": customer.external_userid,
        "userid": member.userid,
        "name": customer.name,
        "welcome_codes": codes,
        "callbacks": [item.id for item in made],
        "already": already,
    }
