"""What an administrator sets for an app in the console: range, features, trusted IPs, secret (wecom-api.md §1.5)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scrm.sandbox.people.app_messages import member_event

if TYPE_CHECKING:
    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]


def change(sandbox: Sandbox, name: str, changes: Json) -> list[Delivery]:
    """Apply; members who enter or leave the visible range are told of by subscribe and unsubscribe.

    A new secret leaves the tokens of the old one valid until they expire, as a reset in the console does.
    """
    world = sandbox.world
    app = world.app(name)
    before = {userid for userid in world.members if app.sees(userid)}
    app.config = replace(app.config, **changes)
    after = {userid for userid in world.members if app.sees(userid)}
    made: list[Delivery] = []
    for userid in sorted(after - before):
        made += member_event(sandbox, name, userid, "subscribe", {}, out_of_range=True)
    for userid in sorted(before - after):
        made += member_event(sandbox, name, userid, "unsubscribe", {}, out_of_range=True)
    return made
