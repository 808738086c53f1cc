"""Emitting the callbacks of customer relations (wecom-api.md §3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrm.sandbox.callbacks.bodies import contact_change, optional, transfer_fail
from scrm.sandbox.callbacks.outbox import CONTACT
from scrm.sandbox.model.tags import WelcomeCode, WelcomeRound

if TYPE_CHECKING:
    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.model.people import Follow
    from scrm.sandbox.model.world import App
    from scrm.sandbox.runtime import Sandbox

EVENT = "change_external_contact"


def added_follow(
    sandbox: Sandbox, follow: Follow, change: str, welcome: WelcomeRound | None
) -> tuple[list[Delivery], dict[str, str]]:
    """Emit an add (or half add, or archive consent); each app gets its own WelcomeCode of the same round."""
    envelope = sandbox.outbox.envelope()
    codes: dict[str, str] = {}

    def body(app: App) -> str:
        name = app.config.name
        if welcome is not None:
            codes[name] = _welcome_code(sandbox, name, welcome)
        rest = optional("State", follow.state) + optional("WelcomeCode", codes.get(name))
        return envelope.event(EVENT, contact_change(change, follow.userid, follow.external_userid, rest))

    apps = sandbox.outbox.apps(CONTACT, [follow.userid])
    return sandbox.outbox.emit(EVENT, change, apps, body), codes


def edited_follow(sandbox: Sandbox, follow: Follow) -> list[Delivery]:
    """Emit edit_external_contact."""
    rest = contact_change(
        "edit_external_contact", follow.userid, follow.external_userid, optional("State", follow.state)
    )
    return sandbox.outbox.event(EVENT, "edit_external_contact", rest, userids=[follow.userid])


def ended_follow(sandbox: Sandbox, follow: Follow, change: str, source: str | None = None) -> list[Delivery]:
    """Emit del_external_contact or del_follow_user."""
    rest = contact_change(change, follow.userid, follow.external_userid, optional("Source", source))
    return sandbox.outbox.event(EVENT, change, rest, userids=[follow.userid])


def failed_transfer(sandbox: Sandbox, userid: str, external_userid: str, reason: str) -> list[Delivery]:
    """Emit transfer_fail; UserID is the takeover member."""
    rest = transfer_fail(reason, userid, external_userid)
    return sandbox.outbox.event(EVENT, "transfer_fail", rest, userids=[userid])


def _welcome_code(sandbox: Sandbox, app: str, welcome: WelcomeRound) -> str:
    code = sandbox.world.ids.opaque("", 43)
    sandbox.world.welcome_codes[code] = WelcomeCode(code, app, welcome)
    return code
