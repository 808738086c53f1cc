"""Copies onto lists: everybody for whom a condition holds at one moment, few at once and many part by part.

Who it holds for is asked once and kept as a roaring bitmap, so that a copy of many is one moment's too, however long it
takes and however often its worker dies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyroaring import BitMap64
from sqlalchemy import and_, select

from scrm.audiences.events import AudienceFilled, AudienceFillWanted
from scrm.audiences.models import Audience, AudienceFill, AudienceMember, FillState
from scrm.audiences.queries.fills import OPEN, scope_of
from scrm.audiences.queries.in_audience import fact_of
from scrm.audiences.service.members import insert_members, list_of
from scrm.audiences.service.saving import log_change
from scrm.customers.queries import visible
from scrm.kernel.clock import utcnow
from scrm.kernel.crashpoints import reached
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, ScrmError
from scrm.kernel.events import publish
from scrm.kernel.permissions import Actor, Scope
from scrm.kernel.settings import settings
from tags.rules.compiler import compile_condition, validate_condition, versioned
from tags.rules.service.bounds import TooSlow, bounded, told
from tags.rules.service.rereading import readers_of, refuse_storm_of
from tags.sets.service.asking import customers_where, packed, unpacked

PART = 20_000  # customers put on a list in one transaction: about a tenth of a second
Tree = Mapping[str, Any]


def fill(audience_id: int, condition: Tree, actor: Actor, confirm: str | None = None) -> int | AudienceFill:
    """Put everybody of the actor's scope on the list for whom a condition holds now, as PostgreSQL says.

    :param condition: a tree; another audience is the leaf ``in_audience``
    :param confirm: the token of a refusal ``rule-storm``
    :returns: how many are new on the list; or, when it holds for more than ``[audiences] fill_at_once`` customers or
        takes longer than ``[rules] preview_seconds`` to say for whom, a fill that workers go on with
    :raises Conflict: the audience is no list, or archived; or so many would come at once that somebody has to confirm
        what rules do about it, and nobody was added
    """
    audience = list_of(audience_id)
    validate_condition(condition)
    try:
        ids = _held_for(condition, actor.scope, settings().rules.preview_seconds)
    except TooSlow:
        return _begin(audience, condition, actor, confirm, None)
    _refuse_storm(audience.id, condition, ids, confirm)
    if len(ids) > settings().audiences.fill_at_once:
        return _begin(audience, condition, actor, confirm, ids)
    added = _add(audience.id, list(ids), actor.name)
    if added:
        log_change(audience, actor.name, {"members": {"added": added, "removed": 0}})
    return added


def _held_for(condition: Tree, scope: Scope, seconds: float) -> BitMap64:
    meant = compile_condition(condition, now=utcnow(), everybody=True)
    with bounded(seconds):
        return customers_where(and_(meant, visible(scope)))


def _refuse_storm(audience_id: int, condition: Tree, ids: BitMap64, confirm: str | None) -> None:
    """Ask first when active rules read the list and many are new on it."""
    if readers := readers_of(fact_of(audience_id)):
        members = select(packed(AudienceMember.customer_id)).where(AudienceMember.audience_id == audience_id)
        on_it = unpacked(session().scalar(members))
        meaning = {"audience": audience_id, "filled": versioned(condition)}
        refuse_storm_of(readers, ids.difference_cardinality(on_it), meaning, confirm)


def _add(audience_id: int, ids: list[int], source: str) -> int:
    """Put customers on a list, and tell the rules; how many are new."""
    now = utcnow()
    added = insert_members(audience_id, ids, source, now)
    if added:
        publish(AudienceFilled(audience_id, now))
    return len(added)


def _begin(
    audience: Audience, condition: Tree, actor: Actor, confirm: str | None, ids: BitMap64 | None
) -> AudienceFill:
    scope = actor.scope
    made = AudienceFill(
        audience_id=audience.id,
        condition=versioned(condition),
        confirm=confirm,
        scope_staff_ids=None if scope.everyone else sorted(scope.staff_ids),
        made_by=actor.name,
    )
    session().add(made)
    if ids is not None:
        _freeze(made, ids)
    session().flush()
    publish(AudienceFillWanted(made.id))
    return made


def _freeze(fill: AudienceFill, ids: BitMap64) -> None:
    fill.state, fill.total, fill.frozen_at, fill.members = (
        FillState.FILLING,
        len(ids),
        utcnow(),
        ids.serialize(),
    )


def advance_fill(fill_id: int) -> bool:
    """Work out who it holds for, or add the next part; says whether there is more to do here.

    The place moves in the transaction of the part, so that a killed worker's part is done again. What another worker is
    at is left to it.
    """
    lock = {"skip_locked": True}
    fill = session().get(AudienceFill, fill_id, with_for_update=lock, populate_existing=True)
    if fill is None or fill.state not in OPEN:
        return False
    try:
        list_of(fill.audience_id)
        if fill.state is FillState.QUEUED:
            _work_out(fill)
        else:
            _add_part(fill)
    except TooSlow as error:
        _finish(fill, FillState.FAILED, told(error, settings().rules.look_seconds))
    except (
        ScrmError
    ) as error:  # the list was archived, the condition names what is gone, or rules would storm
        _finish(fill, FillState.FAILED, error.message)
    if fill.done == fill.total and fill.state in OPEN:
        _finish(fill, FillState.DONE)
    session().flush()
    return fill.state in OPEN


def _work_out(fill: AudienceFill) -> None:
    ids = _held_for(fill.condition, scope_of(fill), settings().rules.look_seconds)
    _refuse_storm(fill.audience_id, fill.condition, ids, fill.confirm)
    _freeze(fill, ids)


def _add_part(fill: AudienceFill) -> None:
    part = BitMap64.deserialize(fill.members or b"")[fill.done : fill.done + PART]
    fill.added += _add(fill.audience_id, list(part), fill.made_by)
    fill.done += len(part)
    reached("fill_part")


def cancel_fill(fill: AudienceFill) -> AudienceFill:
    """Stop; who is on the list by then stays on it. The caller holds the row.

    :raises Conflict: it has ended
    """
    if fill.state not in OPEN:
        raise Conflict(f"fill {fill.id} is {fill.state} already")
    _finish(fill, FillState.CANCELLED)
    session().flush()
    return fill


def fail_fill(fill_id: int, error: str) -> None:
    """End a fill that cannot go on, if it has not ended meanwhile; who is on the list by then stays on it."""
    fill = session().get(AudienceFill, fill_id, with_for_update=True, populate_existing=True)
    if fill is not None and fill.state in OPEN:
        _finish(fill, FillState.FAILED, error)


def _finish(fill: AudienceFill, state: FillState, error: str | None = None) -> None:
    fill.state, fill.error, fill.finished_at, fill.members = state, error, utcnow(), None
    audience = session().get_one(Audience, fill.audience_id)
    if fill.added:
        log_change(audience, fill.made_by, {"members": {"added": fill.added, "removed": 0}})
