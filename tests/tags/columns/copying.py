"""Making a copy in the transaction of a test."""

from dataclasses import replace

from sqlalchemy import delete, func, select, text

from scrm.behaviour.models import BehaviourEvent
from scrm.commerce.models import Order
from scrm.kernel.db import session
from scrm.kernel.settings import settings
from scrm.kernel.snapshots import Snapshot
from tags.columns.models import ColumnChange
from tags.columns.queries.base import BASE
from tags.columns.service.building import build, drafting
from tags.columns.service.noting import ensure_base
from tags.columns.service.pieces import Part
from tags.columns.service.shelf import Copy, Source, write_copy
from tags.columns.service.taking import take
from tags.sets.service.keeping import asked_within

MOMENTS = {Source.EVENTS: BehaviourEvent.at, Source.ORDERS: Order.placed_at}


def copy_all():
    """Copy every row there is, as it is for this transaction."""
    ensure_base()
    months = [(Source.PEOPLE, None)]
    for source, moment in MOMENTS.items():
        first = func.date_trunc("month", func.timezone("UTC", moment))
        months += [(source, month.date()) for month in session().scalars(select(first).distinct())]
    with drafting() as place:
        chunks = tuple(build(take(Part(source, month), place), place) for source, month in months)
    seen = _without_us()
    chunks = tuple(replace(each, snapshot=seen) for each in chunks)
    since = dict.fromkeys(Source, seen)
    base = session().scalar(text(f"SELECT {BASE} FROM column_base"))  # noqa: S608  # a constant
    session().execute(delete(ColumnChange))
    copy = Copy(base, settings().corp.timezone, since, frozenset(), chunks)
    write_copy(copy)
    return copy


def _without_us():
    """The snapshot, with our own transaction among those that still run: whatever it writes from now on was missed."""
    told, own = session().execute(NOW).one()
    seen = Snapshot.parse(told)
    return Snapshot(min(seen.xmin, own), seen.xmax, seen.running | {own}) if own < seen.xmax else seen


NOW = text("""
SELECT CAST(pg_current_snapshot() AS text), CAST(CAST(pg_current_xact_id() AS text) AS bigint)
""")


def whole_set(key, now):
    """The set of a leaf, as whoever lacks it gets it: from the copy, else from PostgreSQL."""
    return asked_within([key], now, 5.0)[key]
