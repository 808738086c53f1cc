"""Rows that keep what we want beside what WeCom holds: a difference is sent, one call of a row at a time.

The row's table has ``version`` (raised by each call, so that every call has a key of its own) and ``effect_id`` (the call
under way); the effect's ``subject`` is a prefix of the table's and the row's id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from sqlalchemy import Row, select

from scrm.kernel.db import session
from scrm.wecom.effects import Intent, plan
from scrm.wecom.models import Effect


class Desired(Protocol):
    """A row of such a table."""

    id: Any
    version: Any
    effect_id: Any


D = TypeVar("D", bound=Desired)
COLUMNS = (
    Effect.id, Effect.kind, Effect.state, Effect.payload, Effect.result, Effect.errcode, Effect.error, Effect.subject,
    Effect.app, Effect.finished_at,
)  # fmt: skip


def send_calls(wanted: Sequence[tuple[Desired, Intent]]) -> None:
    """Plan the one call of each row, and note on the row that it is under way."""
    planned = plan([intent for _, intent in wanted])
    for row, intent in wanted:
        row.version += 1
        row.effect_id = planned[intent.key]
    session().flush()


def ended_calls(table: type[D], subject: str, effect_ids: Sequence[int]) -> list[tuple[D, Row[Any]]]:
    """Rows whose call has ended, locked, each with its effect; ``effect_id`` is free again.

    A row that waits for another call by now is left out.

    :param subject: what stands before the row's id in the effects' subjects, such as ``channel_code:``
    """
    wanted = select(*COLUMNS).where(Effect.id.in_(effect_ids), Effect.subject.startswith(subject))
    ended = {
        int(row.subject.removeprefix(subject)): row for row in session().execute(wanted.order_by(Effect.id))
    }
    rows = session().scalars(
        select(table)
        .where(table.id.in_(ended))
        .order_by(table.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    told = [(row, ended[row.id]) for row in rows if row.effect_id in {None, ended[row.id].id}]
    for row, _ in told:
        row.effect_id = None
    return told
