"""The QR code of a join way: its address is asked for, its picture read once, and drawn anew at any size."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import exists, select, update

from scrm.group_entry.models import EntryState, GroupCode
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, NotFound
from scrm.wecom.qr_codes import draw

AGAIN = timedelta(minutes=5)  # after WeCom could not be asked now
MUCH_LATER = timedelta(hours=6)  # after an answer that will not change soon


@dataclass(frozen=True)
class Unread:
    """A picture to read; ``address`` is None while get_join_way has not told it."""

    code_id: int
    config_id: str
    address: str | None


@dataclass(frozen=True)
class Read:
    """What came of it: address and content as far as they are known now, and why not, when it failed.

    :param passing: the failure goes by itself
    """

    address: str | None
    content: str | None = None
    error: str | None = None
    passing: bool = False


def unread_pictures(limit: int) -> list[Unread]:
    """Pictures to read now, longest waiting first."""
    rows = select(GroupCode.id, GroupCode.config_id, GroupCode.qr_code).where(*_unread())
    found = session().execute(rows.order_by(GroupCode.qr_wanted_at).limit(limit))
    return [Unread(id_, config_id, address) for id_, config_id, address in found if config_id]


def pictures_due() -> bool:
    """Whether some picture must be read now."""
    return bool(session().scalar(select(exists().where(*_unread()))))


def _unread() -> tuple[Any, ...]:
    return GroupCode.qr_wanted_at <= utcnow(), GroupCode.config_id.is_not(None)


def note_read(one: Unread, read: Read) -> None:
    """Write what came of it, unless the code has another join way by now."""
    done = read.content is not None
    values = {
        "qr_code": read.address,
        "qr_content": read.content,
        "qr_error": read.error,
        "qr_wanted_at": None if done else utcnow() + (AGAIN if read.passing else MUCH_LATER),
    }
    same = update(GroupCode).where(GroupCode.id == one.code_id, GroupCode.config_id == one.config_id)
    session().execute(same.values(**values))


def qr_picture(code_id: int, kind: str, *, size: int, error: str) -> bytes:
    """The QR code of a group code; arguments as of :func:`scrm.wecom.qr_codes.draw`.

    :raises NotFound: when there is no such code, or it was deleted
    :raises Conflict: while WeCom has not made it, or its picture has not been read yet
    """
    code = session().get(GroupCode, code_id)
    if code is None or code.status is EntryState.DELETED:
        raise NotFound(f"there is no group code {code_id}")
    if code.qr_content is None or code.config_id is None:
        why = code.qr_error or code.error or f"it is {code.status}"
        raise Conflict(f"the picture of group code {code_id} is not there yet: {why}")
    return draw(code.qr_content, kind, size=size, error=error)
