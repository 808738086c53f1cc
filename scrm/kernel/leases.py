"""Leases: how several workers share rows without losing or doubling one.

A worker claims a batch with ``FOR UPDATE SKIP LOCKED`` and gets a token; whoever wants to write the outcome must still
hold that token. A worker that was stopped past its lease finds its token gone and writes nothing.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, select, update
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session


class Leased:
    """Columns of a row that workers take turns on."""

    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    lease_token: Mapped[uuid.UUID | None]
    lease_until: Mapped[datetime | None]
    next_at: Mapped[datetime | None]


@dataclass(frozen=True)
class Claim:
    """A batch this worker holds until ``until``: the rows and the token that fences their outcome."""

    token: uuid.UUID
    until: datetime
    rows: list[Any]

    @property
    def ids(self) -> list[int]:
        """Primary keys of the held rows."""
        return [row.id for row in self.rows]


def claim(
    model: Any,
    *,
    ready: ColumnElement[bool],
    order_by: Any,
    limit: int,
    seconds: float,
    values: dict[str, Any],
) -> Claim:
    """Take up to ``limit`` rows that are ``ready`` and not held by a living lease.

    :param model: a table with the :class:`Leased` columns and ``id``
    :param order_by: a column, or a tuple of them
    :param values: further columns to set, such as the state; ``attempts`` is raised by one here
    :returns: the claim; its rows are refreshed and in claim order. The caller commits at once.
    """
    now = utcnow()
    token, until = uuid.uuid4(), now + timedelta(seconds=seconds)
    order = order_by if isinstance(order_by, tuple) else (order_by,)
    picked: Select[Any] = (
        select(model.id)
        .where(ready, (model.lease_until.is_(None)) | (model.lease_until < now))
        .order_by(*order)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    changed = (
        update(model)
        .where(model.id.in_(select(picked.cte("picked").c.id)))  # a CTE runs once; a subquery may run per row
        .values(lease_token=token, lease_until=until, attempts=model.attempts + 1, **values)
        .returning(model)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    rows = sorted(session().scalars(changed).all(), key=lambda row: row.id)
    return Claim(token, until, rows)


def held(model: Any, token: uuid.UUID) -> ColumnElement[bool]:
    """The clause that every write of an outcome carries: only who still holds the lease may write."""
    clause: ColumnElement[bool] = model.lease_token == token
    return clause


RELEASED: dict[str, Any] = {"lease_token": None, "lease_until": None}
"""Column values that give a row back."""
