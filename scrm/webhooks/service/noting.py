"""Writing down events that endpoints want, in the transaction of what happened: durable before anybody is answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import orjson
from sqlalchemy import text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.webhooks.events import DeliveriesWanted
from scrm.webhooks.service.catalogue import MOST_ITEMS, TYPES, patterns_of

REMEMBERED = "webhook_patterns"


@dataclass(frozen=True)
class News:
    """Something to tell.

    :param type: of the catalogue
    :param items: of any number; more than MOST_ITEMS are told in several events
    :param common: what holds for all items
    """

    type: str
    items: Sequence[dict[str, Any]] = ()
    common: dict[str, Any] | None = None


def wanted(*types: str) -> bool:
    """Whether an active endpoint wants any of these types; asks the database once in a transaction."""
    patterns = _patterns()
    return bool(patterns) and any(pattern in patterns for name in types for pattern in patterns_of(name))


def _patterns() -> frozenset[str]:
    current = session()
    transaction, known = current.info.get(REMEMBERED, (None, frozenset()))
    if transaction is None or transaction is not current.get_transaction():
        known = frozenset(current.scalars(_PATTERNS))
        current.info[REMEMBERED] = (current.get_transaction(), known)
    found: frozenset[str] = known
    return found


_PATTERNS = text("SELECT DISTINCT unnest(event_types) FROM webhook_endpoints WHERE state = 'active'")


def note(news: Iterable[News]) -> int:
    """Write events and their deliveries to every active endpoint that wants them; how many deliveries were made.

    Inside the transaction of what happened.
    """
    rows = [row for each in news if wanted(each.type) for row in _rows(each)]
    if not rows:
        return 0
    given = orjson.dumps([{"place": place, **row} for place, row in enumerate(rows)]).decode()
    made = session().execute(_NOTE, {"rows": given, "now": utcnow()})
    publish(DeliveriesWanted())
    return int(getattr(made, "rowcount", 0))


def note_for(endpoint_id: int, type_: str, data: dict[str, Any]) -> int:
    """Write one event for one endpoint, whatever it subscribed to; returns the delivery's id."""
    assert type_ in TYPES  # noqa: S101  # a name of ours
    values = {"type": type_, "data": orjson.dumps(data).decode(), "endpoint": endpoint_id, "now": utcnow()}
    made: int = session().execute(_NOTE_FOR, values).scalar_one()
    publish(DeliveriesWanted())
    return made


def _rows(news: News) -> Iterator[dict[str, Any]]:
    common = news.common or {}
    if not TYPES[news.type].item:
        yield {"type": news.type, "data": common}
        return
    items = iter(news.items)
    while part := list(islice(items, MOST_ITEMS)):
        yield {"type": news.type, "data": {**common, "items": part}}


_NOTE = text("""
WITH made AS (
  INSERT INTO webhook_events (type, data, noted_at)
  SELECT type, data, :now FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(place int, type text, data jsonb)
  ORDER BY place RETURNING id, type)
INSERT INTO webhook_deliveries (event_id, endpoint_id, next_at)
SELECT made.id, e.id, :now FROM made JOIN webhook_endpoints e ON e.state = 'active'
  AND e.event_types && ARRAY[made.type, split_part(made.type, '.', 1) || '.*', '*']
ORDER BY made.id, e.id
""")
_NOTE_FOR = text("""
WITH made AS (INSERT INTO webhook_events (type, data, noted_at) VALUES (:type, CAST(:data AS jsonb), :now) RETURNING id)
INSERT INTO webhook_deliveries (event_id, endpoint_id, next_at) SELECT id, :endpoint, :now FROM made RETURNING id
""")


def moment(at: datetime) -> str:
    """A time as events carry it."""
    return at.isoformat()
