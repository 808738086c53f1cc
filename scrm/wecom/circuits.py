"""Open circuits in the database: each is told once when it opens and once when it closes, and kept for looking back.

Calls happen in threads without a transaction, so what they learn stands in Redis; a job compares it with the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from scrm.kernel.clock import from_epoch, utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.kernel.settings import settings
from scrm.wecom.client import gateway
from scrm.wecom.events import CircuitClosed, CircuitOpened
from scrm.wecom.governor import Governor
from scrm.wecom.models import Circuit
from scrm.wecom.store import StoreAway

TOLD_AFTER_SECONDS = (
    5.0  # idle connections cut all at once open a circuit for a second; nobody need hear of that
)
Open = Mapping[tuple[str, str], tuple[str, float]]
"""(API, digest of the app it is counted for or empty) of open circuits: the app that met it, Unix time of opening."""


def open_now() -> Open | None:
    """Circuits open for a while, as calls left them in Redis; None when that cannot be known now."""
    governor = _any_governor()
    if governor is None:
        return None
    try:
        found = governor.open_circuits()
    except StoreAway:
        return None
    latest = utcnow().timestamp() - TOLD_AFTER_SECONDS
    return {name: (app, since) for name, (app, since) in found.items() if since <= latest}


def differ(present: Open) -> bool:
    """Whether the table does not know of what is open."""
    known = select(Circuit.api, Circuit.scope).where(Circuit.closed_at.is_(None))
    return {(row.api, row.scope) for row in session().execute(known)} != set(present)


def record_changes(present: Open) -> None:
    """Write down and tell which circuits have opened and which have closed."""
    known = select(Circuit.api, Circuit.scope).where(Circuit.closed_at.is_(None))
    before = {(row.api, row.scope) for row in session().execute(known)}
    _record_opened({key: present[key] for key in sorted(set(present) - before)})
    _record_closed(sorted(before - set(present)))


def forget(before: datetime) -> None:
    """Delete circuits that closed before that moment."""
    session().execute(delete(Circuit).where(Circuit.closed_at < before))


def _record_opened(opened: Open) -> None:
    if not opened:
        return
    rows = [
        {"api": api, "scope": scope, "app": app, "opened_at": from_epoch(since)}
        for (api, scope), (app, since) in opened.items()
    ]
    adding = insert(Circuit).on_conflict_do_nothing().returning(Circuit.app, Circuit.api)
    publish(
        *(
            CircuitOpened(row.app, row.api, _until(row.app, row.api))
            for row in session().execute(adding, rows)
        )
    )


def _record_closed(gone: Sequence[tuple[str, str]]) -> None:
    if not gone:
        return
    closing = (
        update(Circuit)
        .where(Circuit.closed_at.is_(None), tuple_(Circuit.api, Circuit.scope).in_(gone))
        .values(closed_at=utcnow())
        .returning(Circuit.app, Circuit.api)
        .execution_options(synchronize_session=False)
    )
    publish(*(CircuitClosed(row.app, row.api) for row in session().execute(closing)))


def _until(app: str, api: str) -> datetime:
    if app not in settings().apps:
        return utcnow()
    governor = gateway().of_app(app).governor
    shut = governor.closed([api]).get(api, 0.0)
    return utcnow() + timedelta(seconds=shut)


def _any_governor() -> Governor | None:
    """All governors of the corp see the same circuits."""
    app = next(iter(settings().apps), None)
    return gateway().of_app(app).governor if app else None
