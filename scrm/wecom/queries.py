"""Reading the ledger and what WeCom's limits leave."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select

from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.paging import paginate
from scrm.kernel.settings import settings
from scrm.wecom.client import gateway
from scrm.wecom.limits import Left
from scrm.wecom.limits_table import EVERY, LIMITS
from scrm.wecom.models import Effect
from scrm.wecom.registry import kinds

MASK = "***"
FILTERS: dict[str, Callable[[Any], ColumnElement[bool]]] = {
    "state": lambda value: Effect.state == value,
    "kind": lambda value: Effect.kind == value,
    "errcode": lambda value: Effect.errcode == value,
    "subject": lambda value: Effect.subject == value,
    "app": lambda value: Effect.app == value,
    "queue": lambda value: Effect.queue == value,
    "parked": lambda value: Effect.parked == value,
    "needs_person": lambda value: Effect.parked.is_not(None) if value else Effect.parked.is_(None),
    "since": lambda value: Effect.created_at >= value,
    "until": lambda value: Effect.created_at < value,
}


def effect_page(query: Mapping[str, Any]) -> dict[str, Any]:
    """A page of effects, newest first; ``query`` may hold the names of :data:`FILTERS`."""
    return paginate(select(Effect).where(*_wanted(query)), Effect.id, query)


@dataclass(frozen=True)
class Count:
    """How many effects of one kind ended, or stand, alike."""

    kind: str
    state: str
    errcode: int | None
    parked: str | None
    effects: int


def effect_counts(query: Mapping[str, Any]) -> list[Count]:
    """How many effects there are by kind, state, errcode and why they are parked; filters as for a page."""
    columns = (Effect.kind, Effect.state, Effect.errcode, Effect.parked)
    asked = select(*columns, func.count()).where(*_wanted(query)).group_by(*columns).order_by(*columns)
    return [Count(*row) for row in session().execute(asked)]


def _wanted(query: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    return [FILTERS[name](query[name]) for name in FILTERS if query.get(name) is not None]


def effect_by_id(effect_id: int) -> Effect:
    """One effect; raises NotFound."""
    effect = session().get(Effect, effect_id, populate_existing=True)
    if effect is None:
        raise NotFound(f"there is no effect {effect_id}")
    return effect


def shown_payload(effect: Effect) -> dict[str, Any]:
    """The payload as people may see it: codes that could be used are masked."""
    kind = kinds().get(effect.kind)
    hidden = kind.masked if kind else frozenset(effect.payload)
    return {key: MASK if key in hidden else value for key, value in effect.payload.items()}


def limits_left(app_name: str | None = None, apis: Collection[str] = ()) -> list[Left]:
    """What is left of WeCom's limits by API: those named, or those the ledger uses, the table knows or that were called.

    What WeCom counts for the corp stands once, what it counts per app for each app (or only for ``app_name``).
    """
    names = [app_name] if app_name else list(settings().apps)
    if not names:
        return []
    governors = [gateway().of_app(name).governor for name in names]
    first, *others = governors
    known = {kind.api for kind in kinds().values()} | {row.api for row in LIMITS if row.api != EVERY}
    wanted = sorted(apis or known | first.called())
    found = first.left(wanted)
    for governor in others:
        found += governor.left([api for api in wanted if governor.rules(api).own])
    return sorted(found, key=lambda left: (left.api, left.app or ""))
