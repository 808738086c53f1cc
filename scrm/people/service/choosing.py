"""A field got another rule: which value of everybody stands is worked out again, some persons at a time."""

from __future__ import annotations

from sqlalchemy import select

from scrm.kernel.db import session
from scrm.people.models import CustomField
from scrm.people.queries.work import people_with
from scrm.people.service.merging import lock_people
from scrm.people.service.surviving import recompute_fields


def choose_next(limit: int) -> bool:
    """Choose the values of the next persons of a field whose rule changed; whether there was such a field.

    The place moves in the transaction of the values, so that a killed worker's persons are looked at again. What another
    worker is at is left to it.
    """
    waiting = select(CustomField).where(CustomField.choosing_after.is_not(None)).order_by(CustomField.id)
    taken = waiting.limit(1).with_for_update(skip_locked=True).execution_options(populate_existing=True)
    field = session().scalars(taken).one_or_none()
    if field is None or field.choosing_after is None:
        return False
    ids = people_with(field.key, field.choosing_after, limit)
    lock_people(ids)
    recompute_fields(ids, [field.key])
    field.choosing_after = ids[-1] if ids else None
    session().flush()
    return True
