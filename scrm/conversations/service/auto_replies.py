"""Rules of automatic replies: made, changed, taken away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select

from scrm.conversations.models import AutoReply, Channel, MatchKind
from scrm.conversations.service.replies import POOL
from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput, NotFound
from scrm.staff.models import Staff


def create_auto_reply(values: Mapping[str, Any]) -> AutoReply:
    """A new rule.

    :raises InvalidInput: when its parts do not fit each other
    """
    rule = AutoReply(**values)
    _check(rule)
    session().add(rule)
    session().flush()
    return rule


def change_auto_reply(auto_reply_id: int, values: Mapping[str, Any]) -> AutoReply:
    """Change the given fields of a rule; other fields stay.

    :raises NotFound: when there is none with this id
    :raises InvalidInput: when its parts would not fit each other
    """
    rule = _get(auto_reply_id)
    for name, value in values.items():
        setattr(rule, name, value)
    with session().no_autoflush:
        _check(rule)
    session().flush()
    return rule


def delete_auto_reply(auto_reply_id: int) -> None:
    """Take a rule away, with the memory of whom it answered.

    :raises NotFound: when there is none with this id
    """
    session().delete(_get(auto_reply_id))
    session().flush()


def _get(auto_reply_id: int) -> AutoReply:
    rule = session().get(AutoReply, auto_reply_id, with_for_update=True)
    if rule is None:
        raise NotFound(f"there is no auto-reply {auto_reply_id}")
    return rule


def _check(rule: AutoReply) -> None:
    _check_occasion(rule)
    if rule.fallback_text and not rule.hand_over_to:
        raise InvalidInput.field("fallback_text", "is said when a hand-over fails: give hand_over_to")
    if not rule.reply_text and not rule.hand_over_to:
        raise InvalidInput.field("reply_text", "give a text, or hand_over_to, or both")
    if rule.hand_over_to and rule.channel is not Channel.KF:
        raise InvalidInput.field("hand_over_to", "only customer service (channel kf) can be handed over")
    if rule.outside_office_hours and not rule.office_hours:
        raise InvalidInput.field("outside_office_hours", "needs office_hours to be outside of")
    if rule.hand_over_to not in {None, POOL}:
        known = select(Staff.id).where(func.lower(Staff.userid) == (rule.hand_over_to or "").lower())
        if session().scalar(known) is None:
            raise InvalidInput.field("hand_over_to", f'must be "{POOL}" or the userid of a member of staff')


def _check_occasion(rule: AutoReply) -> None:
    """A keyword rule needs keywords; a greeting has a text, belongs to customer service and hands nothing over."""
    if rule.match is not MatchKind.ENTERS:
        if not rule.keywords:
            raise InvalidInput.field("keywords", 'give at least one, or match "enters"')
        return
    if rule.channel is not Channel.KF:
        raise InvalidInput.field("channel", 'must be "kf": only there WeCom says that somebody enters')
    if not rule.reply_text:
        raise InvalidInput.field("reply_text", "give the text of the greeting")
    if rule.hand_over_to:
        raise InvalidInput.field("hand_over_to", "a session can be handed over once the customer has written")
