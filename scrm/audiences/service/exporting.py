"""Exports: who belongs is fixed by PostgreSQL, rows are read in parts, and every use is written down."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import BigInteger, delete, func, literal, select
from sqlalchemy.dialects.postgresql import insert

from scrm.audiences.events import ExportWanted
from scrm.audiences.models import (
    AudienceExport,
    ExportFormat,
    ExportLog,
    ExportMember,
    ExportPart,
    ExportState,
    ExportUse,
)
from scrm.audiences.queries.audiences import audience_by_id, tree_of
from scrm.audiences.queries.export_columns import Shown, chosen_columns, shown_to
from scrm.audiences.queries.export_rows import export_rows
from scrm.audiences.queries.exports import OPEN, scope_of
from scrm.customers.models import Customer
from scrm.customers.queries import visible
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import ScrmError
from scrm.kernel.events import publish
from scrm.kernel.permissions import Actor
from scrm.kernel.settings import settings
from tags.rules.compiler import compile_condition, validate_condition
from tags.rules.service.bounds import FAULTS, bounded, told

PART = 5000  # customers read at once
XLSX_CELLS = (
    10_000_000  # of one workbook: what is made within the time of one job, and what Excel still opens
)
MOST_ATTEMPTS = 5  # to put a file away


def request_export(audience_id: int, data: Mapping[str, Any], actor: Actor) -> AudienceExport:
    """Ask for a file of an audience's members that the actor may see.

    :param data: ``format``, ``columns`` (keys), ``language``
    :raises InvalidInput: a column does not exist
    """
    audience = audience_by_id(audience_id)
    columns = chosen_columns(data["columns"])
    mine = shown_to(columns, actor)
    anybodys = shown_to(columns, Actor("nobody", frozenset()))
    scope = actor.scope
    made = AudienceExport(
        audience_id=audience.id,
        audience_name=audience.name,
        format=data["format"],
        language=data["language"],
        columns=[column.key for column in columns],
        plain=[key for key, how in mine.items() if how is Shown.PLAIN and anybodys[key] is not Shown.PLAIN],
        masked=[key for key, how in mine.items() if how is not Shown.PLAIN],
        hidden=[key for key, how in mine.items() if how is Shown.HIDDEN],
        scope_staff_ids=None if scope.everyone else sorted(scope.staff_ids),
        made_by=actor.name,
        expires_at=utcnow() + timedelta(days=settings().audiences.export_days),
    )
    session().add(made)
    session().flush()
    log_use(made, ExportUse.REQUESTED, actor.name)
    publish(ExportWanted(made.id))
    return made


def log_use(export: AudienceExport, use: ExportUse, by: str) -> None:
    """Write down who did what with an export."""
    session().add(
        ExportLog(
            export_id=export.id,
            audience_id=export.audience_id,
            audience_name=export.audience_name,
            use=use,
            by=by,
            at=utcnow(),
            rows=export.total,
            columns=export.columns,
            masked=export.masked,
        )
    )


def advance_export(export_id: int) -> bool:
    """Fix who belongs, or read the next part; says whether there is more to read. The caller works on it alone.

    The cursor moves in the transaction of the part, so that a killed worker's part is read again.
    """
    export = open_export(export_id)
    if export is None:
        return False
    if export.state is ExportState.QUEUED:
        return _freeze(export)
    left = (
        select(ExportMember.customer_id)
        .where(ExportMember.export_id == export.id, ExportMember.customer_id > export.cursor)
        .order_by(ExportMember.customer_id)
        .limit(PART)
    )
    ids = list(session().scalars(left))
    if not ids:
        return False
    try:
        columns = chosen_columns(export.columns)
    except ScrmError as error:
        fail(export, f"a column is gone: {error.message}")
        return False
    rows = export_rows(ids, columns, shown_in(export), scope_of(export), export.language)
    session().add(ExportPart(export_id=export.id, last_id=ids[-1], rows=orjson.dumps(rows)))
    export.cursor, export.done = ids[-1], export.done + len(ids)
    session().flush()
    return True


def open_export(export_id: int) -> AudienceExport | None:
    """An export that is being written, held until the transaction ends; None: it is finished."""
    found = session().get(AudienceExport, export_id, with_for_update=True, populate_existing=True)
    return found if found is not None and found.state in OPEN else None


def _freeze(export: AudienceExport) -> bool:
    now, seconds = utcnow(), settings().rules.look_seconds
    try:
        audience = audience_by_id(export.audience_id)
        if audience.condition is not None:
            validate_condition(audience.condition)
        meant = compile_condition(tree_of(audience), now=now, everybody=True)
        wanted = select(literal(export.id, BigInteger), Customer.id).where(meant, visible(scope_of(export)))
        with bounded(seconds):
            session().execute(insert(ExportMember).from_select(["export_id", "customer_id"], wanted))
    except FAULTS as error:
        fail(export, f"who belongs could not be worked out: {told(error, seconds)}")
        return False
    except ScrmError as error:
        fail(export, f"who belongs can no longer be worked out: {error.message}")
        return False
    counted = select(func.count()).where(ExportMember.export_id == export.id)
    export.state, export.frozen_at, export.total = ExportState.WRITING, now, session().scalar(counted)
    cells = (export.total or 0) * len(export.columns)
    if export.format is ExportFormat.XLSX and cells > XLSX_CELLS:
        fail(export, f"a workbook of {cells} cells cannot be made (at most {XLSX_CELLS}); ask for csv")
        return False
    session().flush()
    return True


def shown_in(export: AudienceExport) -> dict[str, Shown]:
    """How much of each column the file shows."""
    hidden, masked = set(export.hidden), set(export.masked)
    return {
        key: Shown.HIDDEN if key in hidden else Shown.MASKED if key in masked else Shown.PLAIN
        for key in export.columns
    }


def finish_export(export_id: int, size: int) -> None:
    """The file can be fetched; what it was made of goes."""
    if (export := open_export(export_id)) is not None:
        export.state, export.size, export.finished_at = ExportState.READY, size, utcnow()
        _forget_rows(export_id)


def begin_file(export_id: int) -> AudienceExport | None:
    """An export whose rows are all read, to make its file of; None: it is finished.

    Tries are counted before they begin, so that those count too that a time-out or the end of the process cut short.
    """
    if (export := open_export(export_id)) is None:
        return None
    if export.attempts >= MOST_ATTEMPTS:
        fail(export, f"the file could not be made and kept in {MOST_ATTEMPTS} tries; the log says why")
        return None
    export.attempts += 1
    session().flush()
    return export


def fail(export: AudienceExport, error: str) -> None:
    """End an export without a file."""
    export.state, export.error, export.finished_at = ExportState.FAILED, error, utcnow()
    _forget_rows(export.id)


def delete_export(export: AudienceExport, actor: str) -> None:
    """Let the file go before its time; a job removes it, and one that is being written ends."""
    if export.state in OPEN:
        fail(export, f"deleted by {actor}")
    export.expires_at = utcnow()
    log_use(export, ExportUse.DELETED, actor)
    publish(ExportWanted(export.id))


def mark_expired(export_id: int) -> None:
    """The file is gone."""
    export = session().get(AudienceExport, export_id, with_for_update=True, populate_existing=True)
    if export is not None:
        export.state = ExportState.EXPIRED


def _forget_rows(export_id: int) -> None:
    for model in (ExportMember, ExportPart):
        session().execute(
            delete(model).where(model.export_id == export_id).execution_options(synchronize_session=False)
        )
    session().flush()
