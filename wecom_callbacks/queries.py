"""Reads of the inbox."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.orm import defer

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.paging import paginate
from wecom_callbacks.models import CallbackNotice, InboxRow, InboxState, Lane
from wecom_callbacks.reasons import Ignored

CODES = re.compile(r"(<(WelcomeCode|Token)>).*?(</\2>)", re.DOTALL)

NOTICES_MAX = 200
FILTERS = ("state", "lane", "event", "change_type", "app", "reason")


def due_in(lane: Lane) -> ColumnElement[bool]:
    """The clause "open and its time has come"; the states are those of the partial index."""
    return and_(
        InboxRow.lane == lane,
        InboxRow.state.in_((InboxState.RECEIVED, InboxState.PROCESSING, InboxState.FAILED)),
        or_(InboxRow.next_at.is_(None), InboxRow.next_at <= utcnow()),
    )


def inbox_due(lane: Lane) -> bool:
    """Whether a worker would find something in this lane now."""
    free = or_(InboxRow.lease_until.is_(None), InboxRow.lease_until < utcnow())
    return bool(session().scalar(select(exists().where(due_in(lane), free))))


def inbox_page(query: Mapping[str, Any]) -> dict[str, Any]:
    """One page of callbacks, newest first, without their bodies.

    :param query: the loaded ``InboxQuery``: ``cursor``, ``limit`` and any of the filters
    """
    chosen = select(InboxRow).options(defer(InboxRow.body))
    for name in FILTERS:
        if (value := query.get(name)) is not None:
            chosen = chosen.where(getattr(InboxRow, name) == value)
    return paginate(chosen, InboxRow.id, query)


def inbox_row(row_id: int) -> InboxRow:
    """One callback with its body; raises NotFound."""
    row = session().get(InboxRow, row_id)
    if row is None:
        raise NotFound(
            f"there is no callback {row_id} in the inbox; done ones are kept for inbox.retention_days"
        )
    return row


def shown_body(row: InboxRow) -> str:
    """The decrypted XML as people may see it: codes that let their holder act are masked, as in effects."""
    return CODES.sub(r"\1***\3", row.body)


def shown_reason(row: InboxRow) -> str | None:
    """Why an ignored callback was ignored, as a sentence; a word that an older version wrote is shown as it is."""
    if row.reason is None:
        return None
    return Ignored(row.reason).sentence if row.reason in set(Ignored) else row.reason


def notices(event: str | None = None, app: str | None = None) -> list[CallbackNotice]:
    """What WeCom says there is to fetch, newest first: of one event and app, or all."""
    chosen = select(CallbackNotice)
    if event is not None:
        chosen = chosen.where(CallbackNotice.event == event)
    if app is not None:
        chosen = chosen.where(CallbackNotice.app == app)
    return list(session().scalars(chosen.order_by(CallbackNotice.told_at.desc()).limit(NOTICES_MAX)))
