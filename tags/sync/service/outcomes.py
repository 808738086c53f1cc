"""What became of the calls: WeCom's answers become the state of assignments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Boolean, Text, insert, select, update

from scrm.customers.service.wanting import want_refresh
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.wecom.events import EffectSettled
from scrm.wecom.models import Effect, EffectState
from tags.arrays import is_one_of, row_table
from tags.events import AssignmentsPending
from tags.models import AssignmentState, Push, TagAssignment, TagChange, TagHistory
from tags.service import Move, after_wish, announce
from tags.sync.service.pushes import plan_alone
from tags.tagging.service.rows import locked_columns

S = AssignmentState
NO_RELATION = 84061  # WeCom has no relation between the member and the customer: it holds no tags either
TAG_REFUSED = {
    40068,
    81011,
}  # unknown tag, no permission on this tag: says nothing about the others of the call


def settle_assignments(settled: Sequence[EffectSettled]) -> None:
    """Calls ended: what WeCom accepted is active or removed, what it refused says why; later changes stay pending.

    A call that no assignment waits for any more (it was sent again by hand) makes us look at WeCom instead.
    """
    events = {event.effect_id: event for event in settled}
    locked = locked_columns().where(is_one_of(TagAssignment.effect_id, events)).order_by(TagAssignment.id)
    rows = session().execute(locked).all()
    _look_again(events.keys() - {row.effect_id for row in rows})
    if not rows:
        return
    split = _to_split(rows, events)
    outcomes = [(row, after_call(row, events[row.effect_id])) for row in rows if row.id not in split]
    errors = _errors(events)
    _write_outcomes(outcomes, errors)
    _tell_outcomes(outcomes, errors)
    plan_alone(split)
    publish(AssignmentsPending())


def _look_again(effect_ids: set[int]) -> None:
    if not effect_ids:
        return
    customer = Effect.payload["external_userid"].astext
    done = select(customer).where(is_one_of(Effect.id, effect_ids), Effect.state == EffectState.CONFIRMED)
    if customers := set(session().scalars(done)):
        want_refresh(customers)


def after_call(row: Any, event: EffectSettled) -> AssignmentState:
    """The state of an assignment whose call ended: what WeCom has now, against what is wanted now.

    A tag that came to be kept here alone while the call was out is as it is wanted.
    """
    if row.push == Push.LOCAL:
        return after_wish(row, wanted=row.state in {S.ACTIVE, S.PENDING_ADD})
    confirmed = event.state == EffectState.CONFIRMED
    gone = event.errcode == NO_RELATION
    has = row.effect_adds if confirmed else not row.effect_adds and not gone
    if row.state == S.PENDING_ADD:
        if has:
            return S.ACTIVE
        return S.PENDING_ADD if confirmed else S.FAILED
    if row.state == S.PENDING_REMOVE:
        if not has:
            return S.REMOVED
        return S.PENDING_REMOVE if confirmed else S.FAILED
    state: AssignmentState = row.state
    return state


def _to_split(rows: Sequence[Any], events: dict[int, EffectSettled]) -> set[int]:
    """Assignments that failed in company, perhaps because of another tag of the same call: each is tried alone."""
    company: dict[int, int] = defaultdict(int)
    for row in rows:
        company[row.effect_id] += 1
    return {
        row.id
        for row in rows
        if company[row.effect_id] > 1
        and events[row.effect_id].errcode in TAG_REFUSED
        and after_call(row, events[row.effect_id]) == S.FAILED
    }


def _errors(events: dict[int, EffectSettled]) -> dict[int, str]:
    """Effect id → why it did not come true."""
    failed = [id_ for id_, event in events.items() if event.state != EffectState.CONFIRMED]
    found = session().execute(
        select(Effect.id, Effect.state, Effect.errcode, Effect.error).where(is_one_of(Effect.id, failed))
    )
    return {
        row.id: f"{row.errcode}: {row.error}" if row.errcode is not None else row.error or str(row.state)
        for row in found
    }


def _write_outcomes(outcomes: Sequence[tuple[Any, AssignmentState]], errors: dict[int, str]) -> None:
    types = {"id": BigInteger, "state": Text, "error": Text, "adds": Boolean}
    values = [
        (row.id, state.value, errors.get(row.effect_id), row.effect_adds)
        if state == S.FAILED
        else (row.id, state.value, None, None)
        for row, state in outcomes
    ]
    if not values:
        return
    new = row_table("new", types, values)
    session().execute(
        update(TagAssignment)
        .where(TagAssignment.id == new.c.id)
        .values(
            state=new.c.state,
            error=new.c.error,
            effect_id=None,
            effect_adds=new.c.adds,
            version=TagAssignment.version + 1,
            changed_at=utcnow(),
        )
        .execution_options(synchronize_session=False)
    )


def _tell_outcomes(outcomes: Sequence[tuple[Any, AssignmentState]], errors: dict[int, str]) -> None:
    """History says what WeCom answered; whoever counts on a tag hears that it is not there after all."""
    now = utcnow()
    lines = [
        {
            "customer_id": row.customer_id,
            "follow_id": row.follow_id,
            "tag_id": row.tag_id,
            "at": now,
            "change": TagChange.REFUSED if row.effect_id in errors else TagChange.CONFIRMED,
            "source": "wecom",
            "error": errors.get(row.effect_id),
        }
        for row, _ in outcomes
    ]
    if lines:
        session().execute(insert(TagHistory), lines)
    announce([Move(row, state, "wecom") for row, state in outcomes], now)
