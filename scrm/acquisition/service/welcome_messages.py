"""Welcome messages: made, changed, taken away, and chosen for a new customer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import or_, select, update

from scrm.acquisition.models import ChannelCode, CodeState, WelcomeMessage
from scrm.acquisition.service.checks import check_staff
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput, NotFound
from scrm.media.service.uploading import keep_ready


def create_welcome_message(values: Mapping[str, Any]) -> WelcomeMessage:
    """A new welcome message; a new default takes the place of the old one.

    :raises InvalidInput: when it is empty or names staff who do not exist
    """
    message = WelcomeMessage(**{"attachments": [], "staff_ids": [], **values})
    _check(message)
    check_staff(message.staff_ids)
    keep_ready(message.attachments)
    session().add(message)
    session().flush()
    _only_default(message)
    return message


def change_welcome_message(welcome_id: int, values: Mapping[str, Any]) -> WelcomeMessage:
    """Change the given fields; other fields stay. Welcomes already planned keep their words.

    :raises NotFound: when there is none with this id
    :raises InvalidInput: when it would be empty or name staff who do not exist
    """
    message = _get(welcome_id)
    with session().no_autoflush:
        for name, value in values.items():
            setattr(message, name, value)
        _check(message)
        check_staff(values.get("staff_ids", []))
        keep_ready(values.get("attachments") or [])
    session().flush()
    _only_default(message)
    return message


def delete_welcome_message(welcome_id: int) -> None:
    """Take a welcome message away.

    :raises NotFound: when there is none with this id
    :raises Conflict: when a channel code still welcomes with it
    """
    message = _get(welcome_id)
    by_slot = ChannelCode.welcome_slots.contains([{"welcome_id": welcome_id}])
    using = or_(ChannelCode.welcome_id == welcome_id, by_slot)
    users = (
        session().scalars(select(ChannelCode.id).where(using, ChannelCode.status != CodeState.DELETED)).all()
    )
    if users:
        raise Conflict(
            f"channel codes {', '.join(map(str, users))} welcome with it; give them another one first"
        )
    session().execute(update(ChannelCode).where(ChannelCode.welcome_id == welcome_id).values(welcome_id=None))
    session().delete(message)
    session().flush()


def choose(messages: Sequence[WelcomeMessage], by_code: int | None, staff_id: int) -> WelcomeMessage | None:
    """The most particular enabled message: the channel code's, then one for this member, then the default.

    :param by_code: the message the channel code names
    """
    enabled = sorted((m for m in messages if m.enabled), key=lambda m: -m.id)
    candidates = [
        *(m for m in enabled if m.id == by_code),
        *(m for m in enabled if staff_id in m.staff_ids),
        *(m for m in enabled if m.is_default),
    ]
    return candidates[0] if candidates else None


def _get(welcome_id: int) -> WelcomeMessage:
    message = session().get(WelcomeMessage, welcome_id, with_for_update=True)
    if message is None:
        raise NotFound(f"there is no welcome message {welcome_id}")
    return message


def _check(message: WelcomeMessage) -> None:
    if not (message.text or "").strip() and not message.attachments:
        raise InvalidInput.field("text", "text and attachments may not both be empty")


def _only_default(message: WelcomeMessage) -> None:
    if message.is_default:
        others = update(WelcomeMessage).where(WelcomeMessage.is_default, WelcomeMessage.id != message.id)
        session().execute(others.values(is_default=False))
