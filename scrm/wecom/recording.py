"""Writing the outcomes of a batch and telling what is settled: one statement, fenced by the lease."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import BigInteger, DateTime, Integer, Text, Uuid, case, column, func, literal, update
from sqlalchemy.dialects.postgresql import JSONB

from scrm.kernel.apart import Apart
from scrm.kernel.clock import utcnow
from scrm.kernel.crashpoints import reached
from scrm.kernel.db import session, transaction
from scrm.kernel.events import publish
from scrm.kernel.leases import RELEASED
from scrm.kernel.settings import settings
from scrm.wecom.events import EffectSettled, EffectsParked
from scrm.wecom.models import Effect, EffectState, Parked
from scrm.wecom.outcomes import ASKS_BEYOND_SENDS, Outcome

log = structlog.get_logger(__name__)

TELL_AGAIN = timedelta(seconds=2)  # after telling failed for the first time


def record(outcomes: Sequence[Outcome]) -> None:
    """Write outcomes and tell what is settled, in one transaction; a batch that fails is written one by one.

    What cannot be told because somebody who hears of it fails is written all the same, and told again later.

    :raises DBAPIError: when the database cannot be reached; nothing is written then, the next run does it
    """
    if not outcomes:
        return
    with Apart() as batch, transaction():  # a subscriber's defect must not hold up the effects of others
        write(outcomes)
        reached("before_commit")
    if batch.error is None:
        return
    if len(outcomes) == 1:
        log.error("outcome not told", effect_id=outcomes[0].id, exc_info=batch.error)
        _keep(outcomes[0])
        return
    log.warning("outcomes are recorded one by one", error=type(batch.error).__name__)
    for outcome in outcomes:
        record([outcome])


def _keep(outcome: Outcome) -> None:
    """Write an outcome without telling it; where that fails too, its lease ends and WeCom is asked about it."""
    with Apart() as writing, transaction():
        write([outcome], told=False)
    if writing.error:
        log.error("outcome not recorded", effect_id=outcome.id, exc_info=writing.error)
        with transaction():
            _park_unwritable(outcome, writing.error)


def _park_unwritable(outcome: Outcome, error: Exception) -> None:
    """After as many tries as asking gets; until then another worker asks WeCom when the lease ends."""
    tried = settings().effects.max_attempts + ASKS_BEYOND_SENDS
    park = (
        update(Effect)
        .where(Effect.id == outcome.id, Effect.lease_token == outcome.token, Effect.attempts >= tried)
        .values(
            state=EffectState.UNKNOWN, next_at=None, parked=Parked.DEFECT, parked_at=utcnow(),
            error=f"defect: {type(error).__name__}", **RELEASED,
        )
        .returning(Effect.kind)
        .execution_options(synchronize_session=False)
    )  # fmt: skip
    for kind in session().scalars(park):
        publish(EffectsParked((outcome.id,), kind, Parked.DEFECT))


def write(outcomes: Sequence[Outcome], *, told: bool = True) -> None:
    """One UPDATE for the batch; rows whose lease is no longer held stay as they are.

    :param told: whether what is settled is published now, or kept to be told later
    """
    now = utcnow()
    rows = func.jsonb_to_recordset(literal([_json(o, now) for o in outcomes], JSONB)).table_valued(
        column("id", BigInteger), column("token", Uuid), column("state", Text), column("result", JSONB(none_as_null=True)),
        column("errcode", BigInteger), column("error", Text), column("next_at", DateTime(timezone=True)),
        column("uncounted", Integer), column("finished_at", DateTime(timezone=True)), column("parked", Text),
        column("parked_at", DateTime(timezone=True)),
    ).render_derived("o", with_types=True)  # fmt: skip
    new = rows.c
    later = {} if told else {"tellings": 1, "tell_at": case((new.finished_at.is_not(None), now + TELL_AGAIN))}
    changed = (
        update(Effect)
        .where(Effect.id == new.id, Effect.lease_token == new.token)
        .values(
            state=new.state,
            result=func.coalesce(new.result, Effect.result),
            errcode=new.errcode,
            error=new.error,
            next_at=new.next_at,
            attempts=Effect.attempts - new.uncounted,
            finished_at=new.finished_at,
            parked=new.parked,
            parked_at=new.parked_at,
            **later,
            **RELEASED,
        )
        .returning(Effect.id, Effect.kind, Effect.key, Effect.subject)
        .execution_options(synchronize_session=False)
    )
    written = {row.id: row for row in session().execute(changed)}
    if told:
        _tell(outcomes, written)


def _tell(outcomes: Sequence[Outcome], written: dict[int, Any]) -> None:
    parked: defaultdict[tuple[str, Parked], list[int]] = defaultdict(list)
    for outcome in outcomes:
        row = written.get(outcome.id)
        if row is None:
            log.warning("lease lost, outcome dropped", effect_id=outcome.id, state=outcome.state)
            continue
        if outcome.final:
            publish(EffectSettled(row.id, row.kind, row.key, row.subject, outcome.state, outcome.errcode))
        if outcome.parked:
            parked[row.kind, outcome.parked].append(row.id)
        if outcome.state != EffectState.CONFIRMED:
            log.info(
                "effect", effect_id=row.id, kind=row.kind, state=outcome.state, errcode=outcome.errcode, reason=outcome.error
            )  # fmt: skip
    publish(*(EffectsParked(tuple(ids), kind, reason) for (kind, reason), ids in parked.items()))


def _json(outcome: Outcome, now: datetime) -> dict[str, Any]:
    return {
        "id": outcome.id,
        "token": str(outcome.token),
        "state": outcome.state,
        "result": outcome.result,
        "errcode": outcome.errcode,
        "error": outcome.error,
        "next_at": outcome.next_at.isoformat() if outcome.next_at else None,
        "uncounted": 0 if outcome.counted else 1,
        "finished_at": now.isoformat() if outcome.final else None,
        "parked": outcome.parked,
        "parked_at": now.isoformat() if outcome.parked else None,
    }
