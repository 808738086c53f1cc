"""Entry welcomes: made, changed, taken away; which groups they are for is in ``assignments``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, func, select

from scrm.group_entry.models import EntryState, EntryWelcome, EntryWelcomeGroup, GroupCode
from scrm.group_entry.service.templates import push
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput, NotFound

TEMPLATES_MAX = 100  # of one corp (41055)


def create_entry_welcome(values: Mapping[str, Any]) -> EntryWelcome:
    """A new template; WeCom accepts it soon after (``status`` becomes ``active``).

    :raises InvalidInput: when it is empty
    :raises Conflict: when there are 100 already
    """
    living = select(func.count()).select_from(EntryWelcome).where(EntryWelcome.status != EntryState.DELETED)
    if (session().scalar(living) or 0) >= TEMPLATES_MAX:
        raise Conflict(f"WeCom keeps {TEMPLATES_MAX} templates (41055); delete one first")
    welcome = EntryWelcome(**{"notify": True, **values}, version=1)
    _check(welcome)
    session().add(welcome)
    session().flush()
    push([welcome])
    return welcome


def change_entry_welcome(welcome_id: int, values: Mapping[str, Any]) -> EntryWelcome:
    """Change the given fields; groups it is attached to say the new words at once.

    On a template WeCom refused, or no longer has, this tries again.

    :raises NotFound: when there is none, or it was deleted
    :raises InvalidInput: when it would be empty
    """
    welcome = locked_welcome(welcome_id)
    with session().no_autoflush:
        for name, value in values.items():
            setattr(welcome, name, value)
        _check(welcome)
    session().flush()
    push([welcome])
    return welcome


def delete_entry_welcome(welcome_id: int) -> None:
    """Take a template away, here and at WeCom, with what groups it was for.

    :raises NotFound: when there is none, or it was deleted before
    :raises Conflict: when a group code still gives it to new groups
    """
    welcome = locked_welcome(welcome_id)
    used = select(GroupCode.id).where(
        GroupCode.entry_welcome_id == welcome_id, GroupCode.status != EntryState.DELETED
    )
    if codes := session().scalars(used.order_by(GroupCode.id)).all():
        raise Conflict(
            f"group codes {', '.join(map(str, codes))} welcome with it; give them another one first"
        )
    welcome.status = EntryState.DELETED
    session().execute(delete(EntryWelcomeGroup).where(EntryWelcomeGroup.entry_welcome_id == welcome_id))
    session().flush()
    push([welcome])


def locked_welcome(welcome_id: int) -> EntryWelcome:
    """The entry welcome, locked; raises NotFound when there is none or it was deleted."""
    welcome = session().get(
        EntryWelcome, welcome_id, with_for_update={"key_share": True}, populate_existing=True
    )
    if welcome is None or welcome.status is EntryState.DELETED:
        raise NotFound(f"there is no entry welcome {welcome_id}")
    return welcome


def _check(welcome: EntryWelcome) -> None:
    if not (welcome.text or "").strip() and not welcome.attachment:
        raise InvalidInput.field("text", "text and attachment may not both be empty")
