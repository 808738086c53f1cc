"""The nightly report on everything that is known of people."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select, text

from scrm.customers.models import Customer
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.people.models import MatchState, PersonMatch, QualityReport
from scrm.people.queries.quality import Neglect, all_specs, neglected, worth


def measure() -> QualityReport:
    """Work out the figures of today and keep them."""
    report = QualityReport(at=utcnow(), figures=_figures())
    session().add(report)
    session().flush()
    return report


def _figures() -> dict[str, Any]:
    people = session().scalar(text("SELECT count(*) FROM people WHERE merged_into IS NULL")) or 0
    filled = {row.field: row.n for row in session().execute(_FILLED)}
    invalid = {row.field: row.n for row in session().execute(_INVALID)}
    specs = all_specs()
    total = sum(worth(spec) for spec in specs) * people
    reached = sum(worth(spec) * filled.get(spec.key, 0) for spec in specs)
    return {
        "people": people,
        "customers": session().scalar(select(func.count()).select_from(Customer)),
        "completeness": round(reached / total, 4) if total else None,
        "fields": [
            {
                "key": spec.key,
                "filled": filled.get(spec.key, 0),
                "share": round(filled.get(spec.key, 0) / people, 4) if people else None,
                "invalid": invalid.get(spec.key, 0),
            }
            for spec in specs
        ],
        "likely_duplicates": session().scalar(
            select(func.count()).select_from(PersonMatch).where(PersonMatch.state == MatchState.OPEN)
        ),
        **{kind.value: session().scalar(_count(kind)) for kind in Neglect},
    }


def _count(kind: Neglect) -> Any:
    return select(func.count()).select_from(Customer).where(neglected(kind, utcnow()))


_FILLED = text("SELECT field, count(*) AS n FROM person_fields GROUP BY field")
_INVALID = text("""
SELECT field, count(*) AS n FROM cleaning_items
WHERE NOT applied AND run_id = (SELECT max(id) FROM cleaning_runs WHERE state <> 'scanning') GROUP BY field
""")
