"""Reading fills: what a key may see of them, and what is to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, and_, cast, select, true

from scrm.audiences.models import AudienceFill, FillState
from scrm.audiences.queries.audiences import audience_by_id
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.paging import paginate
from scrm.kernel.permissions import Actor, Scope
from tags.rules.queries.veiling import Reader

OPEN = (FillState.QUEUED, FillState.FILLING)


def scope_of(fill: AudienceFill) -> Scope:
    """Whose customers may come onto the list."""
    return Scope.all() if fill.scope_staff_ids is None else Scope.of_staff(*fill.scope_staff_ids)


def _visible_fills(scope: Scope) -> ColumnElement[bool]:
    """Fills with customers that all lie within a scope: others' numbers are not its own."""
    if scope.everyone:
        return true()
    own = cast(sorted(scope.staff_ids), ARRAY(BigInteger))
    return and_(AudienceFill.scope_staff_ids.is_not(None), AudienceFill.scope_staff_ids.bool_op("<@")(own))


def fill_page(actor: Actor, audience_id: int, query: Mapping[str, Any]) -> dict[str, Any]:
    """A page of a list's fills as an actor may read them, newest first; raises NotFound: there is no such audience."""
    audience_by_id(audience_id)
    visible = AudienceFill.audience_id == audience_id, _visible_fills(actor.scope)
    page = paginate(select(AudienceFill).where(*visible), AudienceFill.id, query)
    reader = Reader(actor)
    return {**page, "items": [fill_shown(reader, each) for each in page["items"]]}


def fill_shown(reader: Reader, fill: AudienceFill) -> dict[str, Any]:
    """A fill with its condition as a reader gets it."""
    told = [column.key for column in AudienceFill.__table__.columns if column.key != "members"]  # megabytes
    columns = {key: getattr(fill, key) for key in told}
    return {**columns, "condition": reader.condition(fill.condition)}


def fill_by_id(scope: Scope, fill_id: int, *, lock: bool = False) -> AudienceFill:
    """One fill within a scope as it stands; raises NotFound."""
    found = select(AudienceFill).where(AudienceFill.id == fill_id, _visible_fills(scope))
    statement = found.with_for_update() if lock else found
    fill = session().scalars(statement.execution_options(populate_existing=True)).one_or_none()
    if fill is None:
        raise NotFound(f"there is no fill {fill_id}, or it lies outside this key's data scope")
    return fill


def open_fills() -> list[int]:
    """Fills to go on with, oldest first."""
    waiting = select(AudienceFill.id).where(AudienceFill.state.in_(OPEN))
    return list(session().scalars(waiting.order_by(AudienceFill.id)))
