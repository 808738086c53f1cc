"""Ids in a request must name something; the error says which one does not."""

from __future__ import annotations

from collections.abc import Container, Sequence

from sqlalchemy import select

from scrm.acquisition.models import WelcomeMessage
from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput
from scrm.staff.models import Staff
from tags.models import Tag


def check_staff(staff_ids: Sequence[int], field: str = "staff_ids") -> dict[int, str]:
    """userids of these members by id.

    :raises InvalidInput: naming the place of one who does not exist or has left
    """
    found = select(Staff.id, Staff.userid).where(Staff.id.in_(staff_ids), Staff.left_at.is_(None))
    known = dict(session().execute(found).all())
    _refuse_unknown(field, staff_ids, known, "member of staff")
    return known


def check_tags(tag_ids: Sequence[int], field: str = "tag_ids") -> None:
    """:raises InvalidInput: naming the place of a tag that does not exist"""
    found = session().scalars(select(Tag.id).where(Tag.id.in_(tag_ids), Tag.deleted_at.is_(None)))
    _refuse_unknown(field, tag_ids, set(found), "tag")


def check_welcome(welcome_id: int | None) -> None:
    """:raises InvalidInput: when there is no such welcome message"""
    if welcome_id is not None and session().get(WelcomeMessage, welcome_id) is None:
        raise InvalidInput.field("welcome_id", f"there is no welcome message {welcome_id}")


def _refuse_unknown(field: str, given: Sequence[int], known: Container[int], what: str) -> None:
    for place, one in enumerate(given):
        if one not in known:
            raise InvalidInput.field(f"{field}.{place}", f"there is no {what} {one}")
        if one in given[:place]:
            raise InvalidInput.field(f"{field}.{place}", f"{one} is named twice")
