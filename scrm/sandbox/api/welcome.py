"""send_welcome_msg: 20 seconds, once, first app wins (wecom-api.md §4.5)."""

from __future__ import annotations

from scrm.sandbox.api.attachments import checked_message
from scrm.sandbox.api.fields import text
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.errors import WecomError
from scrm.sandbox.model.tags import WelcomeCode

MISSING, INVALID, TOO_LATE, BEING_SENT = 41049, 41050, 41051, 41096


@api("externalcontact/send_welcome_msg")
def send_welcome_msg(call: Call) -> Json:
    """Deliver the welcome of one add."""
    code = text(call.body, "welcome_code")
    if not code:
        raise WecomError(MISSING, "missing welcome_code")
    found = call.world.welcome_codes.get(code)
    if found is None or found.app != call.app.config.name:
        raise WecomError(INVALID, "invalid welcome_code")
    _check_still_open(call, found)
    message, attachments = checked_message(call)
    found.round.sent_at = call.world.clock.now()
    found.round.sent_by = call.app.config.name
    found.round.message = {"text": message, "attachments": attachments}
    return {}


def _check_still_open(call: Call, found: WelcomeCode) -> None:
    now, limits, welcome = call.world.clock.now(), call.world.limits, found.round
    if welcome.sent_at is not None:
        in_progress = now - welcome.sent_at < limits.welcome_dispatch_seconds
        if in_progress and welcome.sent_by != call.app.config.name:
            raise WecomError(BEING_SENT, "welcome msg is being distributed")
        raise WecomError(TOO_LATE, "externaluser has started chatting")
    if welcome.chatted:
        raise WecomError(TOO_LATE, "externaluser has started chatting")
    if now - welcome.created > limits.welcome_seconds:
        raise WecomError(INVALID, "invalid welcome_code: expired")
