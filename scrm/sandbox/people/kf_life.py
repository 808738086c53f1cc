"""Customer service as customers and servicers live it; every step lands in the account's log (§7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrm.sandbox.callbacks.bodies import kf_event
from scrm.sandbox.errors import ControlError
from scrm.sandbox.model.kf import ENDED, HUMAN, UNHANDLED, EventCode, KfAccount, Session
from scrm.sandbox.people.kf_accounts import auth_changed

if TYPE_CHECKING:
    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.model.world import World
    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]
EVENT = "kf_msg_or_event"
FEATURE = "kf"
FROM_CUSTOMER, SYSTEM_EVENT, FROM_SERVICER = 3, 4, 5
WELCOME_SECONDS, ENDED_SECONDS = 20, 20
TWO_DAYS = 172_800
CHANGED_FROM_POOL, CHANGED_TRANSFER, CHANGED_END, CHANGED_REOPEN = 1, 2, 3, 4
TEXT_ONLY: tuple[str, ...] = ("text",)
TEXT_OR_MENU: tuple[str, ...] = ("text", "msgmenu")


def account_of(world: World, open_kfid: str | None) -> KfAccount:
    """The account, or the first one when None; ControlError 404 when there is none."""
    if open_kfid is None:
        found = next(iter(world.kf.accounts.values()), None)
    else:
        found = world.kf.accounts.get(open_kfid)
    if found is None:
        raise ControlError("there is no such kf account", 404)
    return found


def session_of(world: World, account: KfAccount, external_userid: str) -> Session:
    """The session with this customer; 48 hours without a message end it (§7.7)."""
    session = account.sessions.get(external_userid)
    if session is None:
        session = account.sessions[external_userid] = Session(account.open_kfid, external_userid)
    if session.state != ENDED and world.clock.now() - session.last_message >= world.limits.kf_window_seconds:
        session.state, session.servicer = ENDED, None
        session.coded_states.clear()
    return session


def enter(
    sandbox: Sandbox, account: KfAccount, external_userid: str, scene: str, scene_param: str
) -> list[Delivery]:
    """The customer opens the conversation: enter_session, with a welcome code at most once in 48 hours."""
    world = sandbox.world
    session, now = session_of(world, account, external_userid), world.clock.now()
    event: Json = {
        "event_type": "enter_session",
        "open_kfid": account.open_kfid,
        "external_userid": external_userid,
        "scene": scene,
        "scene_param": scene_param,
    }
    if session.last_message == 0 and now - session.last_welcome >= TWO_DAYS:
        event["welcome_code"] = new_code(world, session, "welcome", WELCOME_SECONDS, TEXT_OR_MENU, None)
    return _append_event(sandbox, account, event)


def customer_writes(
    sandbox: Sandbox, account: KfAccount, external_userid: str, messages: list[Json]
) -> list[Delivery]:
    """The customer sends messages: both sending limits start again, an ended session is new (state 0)."""
    world = sandbox.world
    session = session_of(world, account, external_userid)
    session.last_message, session.sent_since = world.clock.now(), 0
    if session.state == ENDED:
        session.state, session.servicer = UNHANDLED, None
        session.coded_states.clear()
    for message in messages:
        _append(
            sandbox,
            account,
            {
                "msgid": world.ids.opaque("", 32),
                "open_kfid": account.open_kfid,
                "external_userid": external_userid,
                "send_time": world.clock.seconds(),
                "origin": FROM_CUSTOMER,
                **message,
            },
        )
    return _call_back(sandbox, account)


def servicer_writes(
    sandbox: Sandbox, account: KfAccount, external_userid: str, userid: str, message: Json
) -> list[Delivery]:
    """A servicer answers in the client; an ended session is opened again (change_type 4)."""
    world = sandbox.world
    _check_servicer(account, userid)
    session = session_of(world, account, external_userid)
    if session.state == ENDED:
        old, session.state, session.servicer = session.servicer, HUMAN, userid
        _append_change(sandbox, account, session, CHANGED_REOPEN, old or "", userid)
    elif session.state != HUMAN or session.servicer != userid:
        raise ControlError("this servicer does not hold the session", 409)
    _append(
        sandbox,
        account,
        {
            "msgid": world.ids.opaque("", 32),
            "open_kfid": account.open_kfid,
            "external_userid": external_userid,
            "send_time": world.clock.seconds(),
            "origin": FROM_SERVICER,
            "servicer_userid": userid,
            **message,
        },
    )
    return _call_back(sandbox, account)


def servicer_takes(sandbox: Sandbox, account: KfAccount, external_userid: str, userid: str) -> list[Delivery]:
    """A servicer takes the session from the pool, or it is handed to them (change_type 1 or 2)."""
    _check_servicer(account, userid)
    session = session_of(sandbox.world, account, external_userid)
    if session.state == ENDED:
        raise ControlError("the session has ended", 409)
    kind = CHANGED_TRANSFER if session.state == HUMAN else CHANGED_FROM_POOL
    old, session.state, session.servicer = session.servicer, HUMAN, userid
    _append_change(sandbox, account, session, kind, old or "", userid)
    return _call_back(sandbox, account)


def servicer_ends(sandbox: Sandbox, account: KfAccount, external_userid: str) -> list[Delivery]:
    """A servicer ends the session (change_type 3)."""
    session = session_of(sandbox.world, account, external_userid)
    if session.state != HUMAN:
        raise ControlError("no servicer holds this session", 409)
    old, session.state, session.servicer = session.servicer, ENDED, None
    _append_change(sandbox, account, session, CHANGED_END, old or "", "")
    session.coded_states.clear()
    return _call_back(sandbox, account)


def add_event(sandbox: Sandbox, account: KfAccount, event: Json) -> list[Delivery]:
    """Any other event of §7.4, as given."""
    return _append_event(sandbox, account, {"open_kfid": account.open_kfid, **event})


def grant(sandbox: Sandbox, account: KfAccount, apps: list[str] | None) -> list[Delivery]:
    """Grant the account to these apps only (None: to all); apps that gain or lose it hear of it (§3.5)."""
    world = sandbox.world
    every = set(world.apps)
    for name in apps or ():
        world.app(name)
    before = every if account.granted_to is None else set(account.granted_to)
    account.granted_to = None if apps is None else frozenset(apps)
    after = every if apps is None else set(apps)
    made: list[Delivery] = []
    for element, names in (("AuthAddOpenKfId", after - before), ("AuthDelOpenKfId", before - after)):
        made += auth_changed(sandbox, element, account.open_kfid, names)
    return made


def new_code(
    world: World, session: Session, kind: str, seconds: int, types: tuple[str, ...], state: int | None
) -> str:
    """A code for send_msg_on_event (§7.6)."""
    code = world.ids.opaque("", 43)
    world.kf.codes[code] = EventCode(code, kind, session, world.clock.now(), seconds, types, state)
    return code


def _append_change(
    sandbox: Sandbox, account: KfAccount, session: Session, kind: int, old: str, new: str
) -> None:
    event: Json = {
        "event_type": "session_status_change",
        "open_kfid": account.open_kfid,
        "external_userid": session.external_userid,
        "change_type": kind,
    }
    if kind != CHANGED_FROM_POOL:
        event["old_servicer_userid"] = old
    if kind != CHANGED_END:
        event["new_servicer_userid"] = new
    if kind == CHANGED_FROM_POOL:
        event["msg_code"] = new_code(sandbox.world, session, "assigned", TWO_DAYS, TEXT_ONLY, HUMAN)
    if kind == CHANGED_END:
        event["msg_code"] = new_code(sandbox.world, session, "ended", ENDED_SECONDS, TEXT_OR_MENU, ENDED)
    _append(sandbox, account, _event_item(sandbox.world, event))


def _append_event(sandbox: Sandbox, account: KfAccount, event: Json) -> list[Delivery]:
    _append(sandbox, account, _event_item(sandbox.world, event))
    return _call_back(sandbox, account)


def _event_item(world: World, event: Json) -> Json:
    return {
        "msgid": world.ids.opaque("", 32),
        "send_time": world.clock.seconds(),
        "origin": SYSTEM_EVENT,
        "msgtype": "event",
        "event": event,
    }


def _append(sandbox: Sandbox, account: KfAccount, item: Json) -> None:
    account.log.append((sandbox.world.clock.now(), item))


def _call_back(sandbox: Sandbox, account: KfAccount) -> list[Delivery]:
    """kf_msg_or_event has no FromUserName; each app gets a token of its own, valid 10 minutes (§3.5)."""
    world = sandbox.world
    envelope = sandbox.outbox.envelope(None)
    apps = [
        app
        for app in sandbox.outbox.apps(FEATURE)
        if account.granted_to is None or app.config.name in account.granted_to
    ]

    def body(_: object) -> str:
        token = world.ids.opaque("ENC", 40)
        world.kf.tokens[token] = (account.open_kfid, world.clock.now() + world.limits.kf_token_seconds)
        return envelope.event(EVENT, kf_event(token, account.open_kfid))

    return sandbox.outbox.emit(EVENT, "", apps, body)


def _check_servicer(account: KfAccount, userid: str) -> None:
    if userid not in account.servicers:
        raise ControlError(f"{userid!r} is no servicer of this account", 404)
