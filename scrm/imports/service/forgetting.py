"""Uploaded files hold personal data: after [imports] keep_days everything of them goes, and only figures stay."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, or_, select

from scrm.imports.models import Import, ImportChunk, ImportKey, ImportPiece, ImportState
from scrm.imports.service.states import WORKING
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict
from scrm.kernel.settings import settings


def old_imports() -> list[int]:
    """Imports whose days are over: counted from their end, or from the upload where nothing was written."""
    before = utcnow() - timedelta(days=settings().imports.keep_days)
    over = or_(Import.finished_at < before, Import.finished_at.is_(None) & (Import.created_at < before))
    at_rest = Import.state.not_in(WORKING), Import.forgotten_at.is_(None)
    return list(session().scalars(select(Import.id).where(over, *at_rest).order_by(Import.id)))


def forget_import(made: Import) -> Import:
    """Delete the file, its rows, errors, samples and the journal; an import that ran cannot be undone after this.

    :raises Conflict: it is at work
    """
    if made.state in WORKING:
        raise Conflict(f"import {made.id} is {made.state}; cancel it first, or wait")
    for table in (ImportPiece, ImportChunk, ImportKey):
        session().execute(delete(table).where(table.import_id == made.id))
    made.samples, made.undo = {}, {**made.undo, "left": []} if made.undo else {}
    made.columns = [{**column, "samples": []} for column in made.columns]
    if made.state in (ImportState.READY, ImportState.CHECKED):
        made.state = ImportState.CANCELLED
    made.filename, made.forgotten_at = f"import-{made.id}", utcnow()
    session().flush()
    session().refresh(made)
    return made


def forget_old(import_id: int) -> None:
    """The same for one whose days are over."""
    made = session().get(Import, import_id, with_for_update=True, populate_existing=True)
    if made is not None and made.forgotten_at is None and made.state not in WORKING:
        forget_import(made)
