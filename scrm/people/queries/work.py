"""What waits to be done; cheap questions of the clock."""

from __future__ import annotations

from sqlalchemy import select, text

from scrm.kernel.db import session
from scrm.people.models import AlikeKey, CleaningRun, CustomField, MatchState, PersonMatch


def merging_due() -> bool:
    """Whether persons wait to be merged."""
    wanted = select(PersonMatch.id).where(PersonMatch.state == MatchState.WANTED).limit(1)
    return session().scalar(wanted) is not None


def linking_due() -> bool:
    """Whether a customer has no person: one from before there were persons, or from a bulk write."""
    return bool(unlinked_customers(0, 1))


def unlinked_customers(after: int, limit: int) -> list[int]:
    """Ids of customers without a person, above ``after``, in order."""
    return list(session().scalars(_UNLINKED, {"after": after, "limit": limit}))


_UNLINKED = text("""
SELECT c.id FROM customers c WHERE c.id > :after
AND NOT EXISTS (SELECT FROM customer_people p WHERE p.customer_id = c.id) ORDER BY c.id LIMIT :limit
""")


def people_with(field: str, after: int, limit: int) -> list[int]:
    """Ids of persons of whom something was said about a field, above ``after``, in order."""
    return list(session().scalars(_PEOPLE_WITH, {"field": field, "after": after, "limit": limit}))


_PEOPLE_WITH = text("""
SELECT DISTINCT person_id FROM person_values WHERE field = :field AND person_id > :after ORDER BY person_id LIMIT :limit
""")


def choosing_due() -> bool:
    """Whether a field's new rule has not chosen everybody's value yet."""
    begun = select(CustomField.id).where(CustomField.choosing_after.is_not(None)).limit(1)
    return session().scalar(begun) is not None


def comparing_due() -> bool:
    """Whether persons who have something in common wait to be compared."""
    return session().scalar(select(AlikeKey.key).limit(1)) is not None


def cleaning_due() -> bool:
    """Whether a cleaning run has something to do."""
    working = ("scanning", "applying", "undoing")
    return session().scalar(select(CleaningRun.id).where(CleaningRun.state.in_(working)).limit(1)) is not None
