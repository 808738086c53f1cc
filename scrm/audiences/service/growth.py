"""How an audience grows: one look a day and audience, and who came and went since the look before.

Who belonged then is kept as a roaring bitmap: a million members are about 130 kB when ids lie close together.
"""

from __future__ import annotations

from datetime import date

from pyroaring import BitMap64
from sqlalchemy import and_, select
from sqlalchemy.dialects.postgresql import insert

from scrm.audiences.models import Audience, AudienceDay, AudienceSnapshot
from scrm.audiences.queries.audiences import tree_of
from scrm.kernel.clock import in_zone, utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import ScrmError
from scrm.kernel.locks import hold_in_transaction
from scrm.kernel.settings import settings
from tags.rules.compiler import compile_condition
from tags.rules.service.bounds import FAULTS, bounded, told
from tags.sets.service.asking import customers_where


def today() -> date:
    """The day it is in the corp's zone."""
    return in_zone(utcnow(), settings().corp.zone).date()


def unmeasured(limit: int) -> list[int]:
    """Audiences in use that were not looked at today."""
    looked = and_(AudienceDay.audience_id == Audience.id, AudienceDay.day == today())
    waiting = (
        select(Audience.id)
        .outerjoin(AudienceDay, looked)
        .where(Audience.deleted_at.is_(None), Audience.archived_at.is_(None), AudienceDay.day.is_(None))
    )
    return list(session().scalars(waiting.order_by(Audience.id).limit(limit)))


def measure(audience_id: int) -> bool:
    """Look at an audience, unless that was done today; whether it was looked at.

    Row and bitmap are written together, so that a look is never counted twice; after days without one the next look
    counts against the last. One that fails says why and is tried again the next day.
    """
    hold_in_transaction(f"audience:{audience_id}:growth")
    day = today()
    audience = session().get(Audience, audience_id, populate_existing=True)
    if audience is None or audience.deleted_at or session().get(AudienceDay, (audience_id, day)):
        return False
    row = AudienceDay(audience_id=audience_id, day=day, version=audience.version, at=utcnow())
    try:
        with bounded(settings().rules.look_seconds):
            members = customers_where(compile_condition(tree_of(audience), everybody=True))
    except FAULTS as error:
        row.problem = told(error, settings().rules.look_seconds)
    except ScrmError as error:
        row.problem = error.message
    else:
        _compare(row, members)
    session().add(row)
    session().flush()
    return True


def _compare(row: AudienceDay, members: BitMap64) -> None:
    kept = session().get(AudienceSnapshot, row.audience_id, populate_existing=True)
    before = BitMap64.deserialize(kept.members) if kept else members
    row.count, row.since = len(members), kept.day if kept else None
    row.joined, row.left = members.difference_cardinality(before), before.difference_cardinality(members)
    values = {"day": row.day, "members": members.serialize()}
    keeping = insert(AudienceSnapshot).values(audience_id=row.audience_id, **values)
    session().execute(keeping.on_conflict_do_update(index_elements=["audience_id"], set_=values))
