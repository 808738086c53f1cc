"""Rows for tests of the copy in columns."""

import itertools

import duckdb
from sqlalchemy import text

from scrm.behaviour.models import BehaviourEvent, EventType
from scrm.commerce.models import Order
from scrm.kernel.db import session
from tags.columns.service.shelf import folder

numbers = itertools.count(1)
CHANGES = text("DELETE FROM column_changes RETURNING xid, id, source, months, person_ids")


def changes():
    """(source, months, persons) of what was noted since the last call, in its order."""
    session().flush()
    rows = sorted(session().execute(CHANGES).all(), key=lambda row: (row.xid, row.id))
    return [(row.source, row.months, row.person_ids) for row in rows]


def event(person_id, at, type_id=1, **properties):
    """Somebody did something."""
    key = f"e{next(numbers)}"
    row = BehaviourEvent(
        at=at, person_id=person_id, type_id=type_id, properties=properties, source="s", source_id=key
    )
    session().add(row)
    session().flush()
    return row


def event_type(**properties):
    """A registered type: key → type of its properties; returns its id."""
    told = [{"key": key, "type": kind, "name_zh": key, "name_en": key} for key, kind in properties.items()]
    row = EventType(key=f"t{next(numbers)}", name_zh="t", name_en="t", properties=told)
    session().add(row)
    session().flush()
    return row.id


def order(person_id, placed_at, **given):
    """Somebody ordered; returns its id."""
    values = {"status": "placed", "status_at": placed_at, "placed_at": placed_at, "version_at": placed_at}
    row = Order(source="s", source_id=f"o{next(numbers)}", person_id=person_id, **{**values, **given})
    session().add(row)
    session().flush()
    return row.id


def written(chunk, question):
    """What a file of the copy answers."""
    with duckdb.connect(str(folder() / chunk.file), read_only=True) as connection:
        return connection.execute(question).fetchall()
