"""Who may do what, and whose customers they may see.

Every view says ``@needs(Permission.X)`` or ``@public``; a test walks the URL map. Every query that returns customers
takes a :class:`Scope`, so that forgetting it does not run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flask import Flask, current_app, g

from scrm.kernel.errors import Forbidden, Unauthorized

P = ParamSpec("P")
R = TypeVar("R")


class Permission(StrEnum):
    """Every permission there is, ``<resource>:<action>``, in alphabetical order."""

    ACQUISITION_LINKS_READ = "acquisition-links:read"
    ACQUISITION_LINKS_WRITE = "acquisition-links:write"
    ALERTS_READ = "alerts:read"
    AUDIENCES_EXPORT = "audiences:export"
    AUDIENCES_READ = "audiences:read"
    AUDIENCES_WRITE = "audiences:write"
    AUTO_REPLIES_READ = "auto-replies:read"
    AUTO_REPLIES_WRITE = "auto-replies:write"
    BROADCASTS_READ = "broadcasts:read"
    BROADCASTS_SEND = "broadcasts:send"
    CHANNEL_CODES_READ = "channel-codes:read"
    CHANNEL_CODES_WRITE = "channel-codes:write"
    CUSTOMERS_READ = "customers:read"
    CUSTOMERS_WRITE = "customers:write"
    EFFECTS_READ = "effects:read"
    EFFECTS_WRITE = "effects:write"
    EVENTS_READ = "events:read"
    EVENTS_WRITE = "events:write"
    FIELDS_READ = "fields:read"
    FIELDS_WRITE = "fields:write"
    GROUPS_READ = "groups:read"
    GROUP_CODES_READ = "group-codes:read"
    GROUP_CODES_WRITE = "group-codes:write"
    IMPORTS_READ = "imports:read"
    IMPORTS_WRITE = "imports:write"
    INBOX_READ = "inbox:read"
    INBOX_REPLAY = "inbox:replay"
    LOSSES_READ = "losses:read"
    LOSSES_WRITE = "losses:write"
    MEDIA_READ = "media:read"
    MEDIA_WRITE = "media:write"
    MESSAGES_READ = "messages:read"
    ORDERS_READ = "orders:read"
    ORDERS_WRITE = "orders:write"
    OVERVIEW_READ = "overview:read"
    PEOPLE_MERGE = "people:merge"
    PEOPLE_READ = "people:read"
    PEOPLE_WRITE = "people:write"
    PRODUCTS_READ = "products:read"
    PRODUCTS_WRITE = "products:write"
    RULES_READ = "rules:read"
    RULES_WRITE = "rules:write"
    STAFF_READ = "staff:read"
    SYNC_READ = "sync:read"
    SYNC_WRITE = "sync:write"
    TAGS_READ = "tags:read"
    TAGS_WRITE = "tags:write"
    TRAITS_READ = "traits:read"
    TRAITS_WRITE = "traits:write"
    TRANSFERS_READ = "transfers:read"
    TRANSFERS_WRITE = "transfers:write"
    VALUE_READ = "value:read"
    VALUE_WRITE = "value:write"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"
    WELCOME_READ = "welcome:read"
    WELCOME_WRITE = "welcome:write"


@dataclass(frozen=True)
class Scope:
    """Whose customers are visible: everybody's, or only those followed by certain staff.

    :param everyone: no limit
    :param staff_ids: otherwise, ids of the staff whose customers may be seen (may be empty: nobody's)
    """

    everyone: bool
    staff_ids: frozenset[int] = frozenset()

    @classmethod
    def all(cls) -> Scope:
        """Every customer; for the program's own work and unlimited keys."""
        return cls(everyone=True)

    @classmethod
    def of_staff(cls, *staff_ids: int) -> Scope:
        """Only customers of these staff."""
        return cls(everyone=False, staff_ids=frozenset(staff_ids))


@dataclass(frozen=True)
class Actor:
    """Who is asking: an API key, a signed-in person, or the program itself.

    :param name: how the actor appears in sources and audit, such as ``apikey:3``
    """

    name: str
    permissions: frozenset[Permission]
    scope: Scope = Scope(everyone=False)

    def require(self, permission: Permission) -> None:
        """Raise Forbidden unless the actor holds ``permission``."""
        if permission not in self.permissions:
            raise Forbidden(
                f"this key does not hold {permission}; create one with `scrm apikey create --scope {permission}`"
            )

    def require_everyone(self, what: str) -> None:
        """Raise Forbidden unless the actor sees the customers of all members.

        :param what: what concerns the whole company, as the subject of a sentence
        """
        if not self.scope.everyone:
            raise Forbidden(f"{what} the customers of all members; use a key without a data scope")


Authenticator = Callable[[], Actor | None]


def authenticators(app: Flask) -> list[Authenticator]:
    """The ways to find out who is asking, tried in order; the web layer appends its own."""
    found: list[Authenticator] = app.extensions.setdefault("scrm_authenticators", [])
    return found


def current_actor() -> Actor:
    """Who is asking in this request, found out once; raises Unauthorized when nobody is known."""
    actor: Actor | None = g.get("actor")
    if actor is None:
        for ask in authenticators(current_app):
            actor = actor or ask()
        g.actor = actor
    if actor is None:
        raise Unauthorized(
            "give an API key as `Authorization: Bearer <key>`, or sign in with the link that `scrm up` prints"
        )
    return actor


def needs(permission: Permission) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a view run only for actors that hold ``permission``."""

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            current_actor().require(permission)
            return view(*args, **kwargs)

        guarded.__permission__ = permission  # type: ignore[attr-defined]  # read by the test that walks the URL map
        return guarded

    return decorate


def public(view: Callable[P, R]) -> Callable[P, R]:
    """Say that a view is open to everybody on purpose."""
    marked: Any = view
    marked.__permission__ = None
    return view
