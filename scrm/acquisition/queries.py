"""Reading channel codes, welcome messages and welcomes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, exists, func, or_, select

from scrm.acquisition.models import ChannelAdd, ChannelCode, CodeState, Welcome, WelcomeMessage
from scrm.acquisition.service.greeting import nameless
from scrm.customers.models import Follow
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.permissions import Scope


def channel_code_list(filters: dict[str, Any]) -> Select[Any]:
    """Codes with the number of people who came through each; deleted ones only when asked for."""
    adds = select(func.count()).where(ChannelAdd.channel_code_id == ChannelCode.id)
    statement = select(
        *ChannelCode.__table__.columns, adds.correlate(ChannelCode).scalar_subquery().label("adds")
    )
    if status := filters.get("status"):
        return statement.where(ChannelCode.status == status)
    return statement.where(ChannelCode.status != CodeState.DELETED)


def channel_code_detail(code_id: int) -> dict[str, Any]:
    """One code, deleted or not; raises NotFound when there never was one with this id."""
    adds = select(func.count()).where(ChannelAdd.channel_code_id == code_id).scalar_subquery()
    statement = select(*ChannelCode.__table__.columns, adds.label("adds")).where(ChannelCode.id == code_id)
    found = session().execute(statement).mappings().first()
    if found is None:
        raise NotFound(f"there is no channel code {code_id}")
    return dict(found)


def welcome_message_list() -> Select[Any]:
    """Every welcome message."""
    return select(WelcomeMessage)


def welcome_message_detail(welcome_id: int) -> WelcomeMessage:
    """One welcome message; raises NotFound when there is none with this id."""
    found = session().get(WelcomeMessage, welcome_id)
    if found is None:
        raise NotFound(f"there is no welcome message {welcome_id}")
    return found


def welcome_list(scope: Scope, filters: dict[str, Any]) -> Any:
    """Welcomes with who gave and got them and the seconds from the add to WeCom's acceptance."""
    seconds = func.extract("epoch", Welcome.finished_at - Welcome.event_at)
    statement: Any = select(
        Welcome.id, Follow.customer_id, Follow.staff_id, Welcome.welcome_id, Welcome.effect_id, Welcome.outcome,
        Welcome.reason, Welcome.text_only, Welcome.event_at, Welcome.deadline_at, Welcome.finished_at,
        seconds.label("seconds"),
    ).join(Follow, Follow.id == Welcome.follow_id)  # fmt: skip
    if filters.get("outcome"):
        statement = statement.where(Welcome.outcome == filters["outcome"])
    if filters.get("staff_id") is not None:
        statement = statement.where(Follow.staff_id == filters["staff_id"])
    if filters.get("customer_id") is not None:
        statement = statement.where(Follow.customer_id == filters["customer_id"])
    return statement if scope.everyone else statement.where(Follow.staff_id.in_(scope.staff_ids))


def names_wanted() -> bool:
    """Whether a welcome waits for a name and nobody is asking for it."""
    free = or_(Welcome.lease_until.is_(None), Welcome.lease_until < utcnow())
    return bool(session().scalar(select(exists().where(nameless(), free))))
