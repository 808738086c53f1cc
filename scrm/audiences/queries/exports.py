"""Reading exports: what a key may see of them, what is to do, and who used them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, and_, cast, select, true

from scrm.audiences.models import AudienceExport, ExportLog, ExportState
from scrm.audiences.queries.export_columns import Shown, export_columns, shown_to
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, Forbidden, NotFound
from scrm.kernel.paging import paginate
from scrm.kernel.permissions import Actor, Scope

OPEN = (ExportState.QUEUED, ExportState.WRITING)


def scope_of(export: AudienceExport) -> Scope:
    """Whose customers are in the file."""
    staff_ids = export.scope_staff_ids
    return Scope.all() if staff_ids is None else Scope.of_staff(*staff_ids)


def visible_exports(scope: Scope) -> ColumnElement[bool]:
    """Exports of customers that all lie within a scope."""
    if scope.everyone:
        return true()
    own = cast(sorted(scope.staff_ids), ARRAY(BigInteger))
    return and_(
        AudienceExport.scope_staff_ids.is_not(None), AudienceExport.scope_staff_ids.bool_op("<@")(own)
    )


def export_page(scope: Scope, query: Mapping[str, Any]) -> dict[str, Any]:
    """A page of exports, newest first; ``audience_id`` narrows it."""
    statement = select(AudienceExport).where(visible_exports(scope))
    if (audience_id := query.get("audience_id")) is not None:
        statement = statement.where(AudienceExport.audience_id == audience_id)
    return paginate(statement, AudienceExport.id, query)


def export_by_id(scope: Scope, export_id: int, *, lock: bool = False) -> AudienceExport:
    """One export within a scope as it stands; raises NotFound."""
    found = select(AudienceExport).where(AudienceExport.id == export_id, visible_exports(scope))
    statement = found.with_for_update() if lock else found
    export = session().scalars(statement.execution_options(populate_existing=True)).one_or_none()
    if export is None:
        raise NotFound(f"there is no export {export_id}, or it lies outside this key's data scope")
    return export


def fetchable(actor: Actor, export_id: int) -> AudienceExport:
    """An export whose file the actor may have now.

    :raises Conflict: there is no file, or no longer
    :raises Forbidden: it shows more than the actor may read
    """
    export = export_by_id(actor.scope, export_id)
    if export.state is not ExportState.READY or export.expires_at <= utcnow():
        raise Conflict(f"export {export_id} is {_stands(export)}; ask for a new one")
    known = export_columns()
    columns = [known[key] for key in export.plain if key in known]
    if len(columns) < len(export.plain) or any(
        how is not Shown.PLAIN for how in shown_to(columns, actor).values()
    ):
        raise Forbidden(
            f"export {export_id} shows what this key may not read in full; ask for one of its own"
        )
    return export


def _stands(export: AudienceExport) -> str:
    return ExportState.EXPIRED if export.state is ExportState.READY else export.state


def log_page(query: Mapping[str, Any]) -> dict[str, Any]:
    """A page of who asked for, fetched or deleted which file, newest first; ``audience_id`` narrows it."""
    statement = select(ExportLog)
    if (audience_id := query.get("audience_id")) is not None:
        statement = statement.where(ExportLog.audience_id == audience_id)
    return paginate(statement, ExportLog.id, query)


def open_exports() -> list[int]:
    """Exports to write, oldest first."""
    waiting = select(AudienceExport.id).where(AudienceExport.state.in_(OPEN))
    return list(session().scalars(waiting.order_by(AudienceExport.id)))


def expired_exports(limit: int) -> list[AudienceExport]:
    """Exports whose days are over and whose file may still be there."""
    over = select(AudienceExport).where(
        AudienceExport.state != ExportState.EXPIRED,
        AudienceExport.state.not_in(OPEN),
        AudienceExport.expires_at <= utcnow(),
    )
    return list(session().scalars(over.order_by(AudienceExport.expires_at).limit(limit)))
