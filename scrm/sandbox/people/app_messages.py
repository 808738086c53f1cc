"""Members writing to the app or using its menu (wecom-api.md §3.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrm.sandbox.callbacks.bodies import cdata, message_tail, plain
from scrm.sandbox.errors import ControlError

if TYPE_CHECKING:
    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.model.world import App
    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]
FEATURE = "message"
FIELDS: dict[str, tuple[tuple[str, str], ...]] = {
    "text": (("Content", "hello"),),
    "image": (("PicUrl", "http://wework.qpic.invalid/p.jpg"), ("MediaId", "")),
    "voice": (("MediaId", ""), ("Format", "amr")),
    "video": (("MediaId", ""), ("ThumbMediaId", "")),
    "location": (("Location_X", "23.134"), ("Location_Y", "113.358"), ("Scale", "20"), ("Label", "")),
    "link": (("Title", ""), ("Description", ""), ("Url", ""), ("PicUrl", "")),
}
NUMBERS = frozenset({"Location_X", "Location_Y", "Scale"})


def member_writes(
    sandbox: Sandbox, app: str, userid: str, kind: str, values: dict[str, str]
) -> list[Delivery]:
    """A message of one of the six kinds; `values` by the field names of §3.7."""
    if kind not in FIELDS:
        raise ControlError(f"msgtype must be one of {', '.join(FIELDS)}")
    known = dict(FIELDS[kind])
    for name in values:
        if name not in known:
            raise ControlError(f"{kind} has no field {name!r}; it has {', '.join(known)}")
    parts = [_field(name, str(values.get(name, known[name]))) for name in known]
    msgid = sandbox.world.ids.number("MsgId")
    extra = cdata("AppType", "wxwork") if kind == "location" else ""

    def body(target: App) -> str:
        tail = message_tail(msgid, target.config.agentid)
        return sandbox.outbox.envelope(userid).message(kind, "".join(parts) + tail + extra)

    return sandbox.outbox.emit(kind, "", _apps(sandbox, app, userid), body)


def member_event(
    sandbox: Sandbox, app: str, userid: str, event: str, values: dict[str, str], out_of_range: bool = False
) -> list[Delivery]:
    """An event of §3.7 such as subscribe, enter_agent or click; `values` are its fields.

    `out_of_range`: the app hears of it though it may not see the member (any more).
    """
    parts = "".join(cdata(name, value) for name, value in values.items())

    def body(target: App) -> str:
        rest = parts + plain("AgentID", target.config.agentid)
        return sandbox.outbox.envelope(userid).event(event, rest)

    apps = sandbox.outbox.apps(FEATURE, only=app) if out_of_range else _apps(sandbox, app, userid)
    return sandbox.outbox.emit(event, "", apps, body)


def _apps(sandbox: Sandbox, app: str, userid: str) -> list[App]:
    sandbox.world.member(userid)
    sandbox.world.app(app)
    return sandbox.outbox.apps(FEATURE, [userid], only=app)


def _field(name: str, value: str) -> str:
    return plain(name, value) if name in NUMBERS else cdata(name, value)
