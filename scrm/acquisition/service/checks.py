"""Ids in a request must name something; the error says which one does not."""

from __future__ import annotations

from collections.abc import Container, Sequence

from sqlalchemy import select

from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput
from scrm.staff.models import Staff


def check_staff(staff_ids: Sequence[int], field: str = "staff_ids") -> dict[int, str]:
    """userids of these members by id.

    :raises InvalidInput: naming the place of one who does not exist or has left
    """
    found = select(Staff.id, Staff.userid).where(Staff.id.in_(staff_ids), Staff.left_at.is_(None))
    known = dict(session().execute(found).all())
    _refuse_unknown(field, staff_ids, known, "member of staff")
    return known


def _refuse_unknown(field: str, given: Sequence[int], known: Container[int], what: str) -> None:
    for place, one in enumerate(given):
        if one not in known:
            raise InvalidInput.field(f"{field}.{place}", f"there is no {what} {one}")
        if one in given[:place]:
            raise InvalidInput.field(f"{field}.{place}", f"{one} is named twice")
