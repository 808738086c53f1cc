"""Making a copy in the transaction of a test."""

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
from tags.columns.service.shelf import Copy, Source, write_copy
from tags.columns.service.taking import take

MOMENTS = {Source.EVENTS: BehaviourEvent.at, Source.ORDERS: Order.placed_at}


def copy_all():
    """Copy every row there is, as it is for this transaction."""
    ensure_base()
    months = [(Source.PEOPLE, None)]
    for source, moment in MOMENTS.items():
        first = func.date_trunc("month", func.timezone("UTC", moment))
        months += [(source, month.date()) for month in session().scalars(select(first).distinct())]
    with drafting() as place:
        chunks = tuple(build(take(source, month, place), place) for source, month in months)
    told = session().scalar(text("SELECT CAST(pg_current_snapshot() AS text)"))
    since = dict.fromkeys(Source, Snapshot.parse(told))
    base = session().scalar(text(f"SELECT {BASE} FROM column_base"))  # noqa: S608  # a constant
    session().execute(delete(ColumnChange))  # our own transaction is never in a snapshot of its own
    copy = Copy(base, settings().corp.timezone, since, frozenset(), chunks)
    write_copy(copy)
    return copy
