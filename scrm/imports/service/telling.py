"""After an undo wrote tables by itself: what is worked out of them is brought up to date, and everybody is told."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text

from scrm.audiences.events import AudienceMembersChanged
from scrm.audiences.models import Audience
from scrm.audiences.service.saving import log_change
from scrm.behaviour.events import BehaviourStored
from scrm.behaviour.service.counting import recount_days
from scrm.commerce.events import OrdersChanged, ProductsChanged
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.people.events import PeopleForgotten
from scrm.people.service.surviving import recompute_fields


def tell_undone() -> None:
    """Of everything that ``import_undo`` says was given back in the running transaction."""
    recompute_fields(_ids("person_values", "person_id"))
    _tell_lists()
    if buyers := _ids("orders", "person_id", also="order_lines"):
        publish(OrdersChanged(tuple(buyers)))
    if products := _ids("products", "id"):
        publish(ProductsChanged(tuple(products)))
    if doers := _ids("behaviour_events", "person_id"):
        recount_days(doers)
        types = tuple(_ids("behaviour_events", "type_id"))
        publish(BehaviourStored(tuple(doers), types, recount=True))


def tell_forgotten() -> None:
    """Of persons that went, after everything else did."""
    if people := list(session().scalars(_FORGOTTEN)):
        publish(PeopleForgotten(tuple(people)))


def _ids(table: str, column: str, also: str = "") -> Sequence[int]:
    found = session().scalars(_IDS, {"table": table, "column": column}).all()
    if also:
        found = sorted({*found, *session().scalars(_BUYERS, {"table": also})})
    return list(found)


def _tell_lists() -> None:
    for row in session().execute(_LISTS):
        audience = session().get(Audience, row.audience_id)
        if audience is not None:
            log_change(audience, "import undo", {"members": {"added": 0, "removed": len(row.customers)}})
            publish(AudienceMembersChanged(audience.id, tuple(row.customers)))


_LISTS = text("""
SELECT CAST(after ->> 'audience_id' AS bigint) AS audience_id,
  array_agg(CAST(after ->> 'customer_id' AS bigint) ORDER BY n) AS customers
FROM import_undo WHERE "table" = 'audience_members' AND restored GROUP BY 1 ORDER BY 1
""")
_IDS = text("""
SELECT DISTINCT CAST(value AS bigint) AS id FROM import_undo u,
LATERAL (VALUES (u.before ->> :column), (u.after ->> :column)) AS v(value)
WHERE u."table" = :table AND u.restored AND value IS NOT NULL ORDER BY id
""")
_FORGOTTEN = text("""
SELECT CAST(after ->> 'id' AS bigint) FROM import_undo
WHERE "table" = 'people' AND restored AND before IS NULL ORDER BY n
""")
_BUYERS = text("""
SELECT DISTINCT o.person_id FROM import_undo u JOIN orders o
  ON o.id = CAST(COALESCE(u.after, u.before) ->> 'order_id' AS bigint)
WHERE u."table" IN (:table, 'order_statuses') AND u.restored AND o.person_id IS NOT NULL
""")
