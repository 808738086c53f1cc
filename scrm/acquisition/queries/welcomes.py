"""Reading welcome messages and what became of welcomes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select

from scrm.acquisition.models import Welcome, WelcomeMessage
from scrm.customers.models import Follow
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.permissions import Scope


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
        Welcome.id, Follow.customer_id, Follow.staff_id, Welcome.channel_code_id, Welcome.welcome_id,
        Welcome.effect_id, Welcome.outcome, Welcome.reason, Welcome.text_only, Welcome.event_at, Welcome.deadline_at,
        Welcome.finished_at, seconds.label("seconds"),
    ).join(Follow, Follow.id == Welcome.follow_id)  # fmt: skip
    if filters.get("outcome"):
        statement = statement.where(Welcome.outcome == filters["outcome"])
    columns = {
        "staff_id": Follow.staff_id,
        "customer_id": Follow.customer_id,
        "channel_code_id": Welcome.channel_code_id,
    }
    for name, column in columns.items():
        if filters.get(name) is not None:
            statement = statement.where(column == filters[name])
    return statement if scope.everyone else statement.where(Follow.staff_id.in_(scope.staff_ids))
