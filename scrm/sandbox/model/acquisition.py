"""Acquisition links, who came through them, and the quota they use (wecom-api.md §3.4, §4.14)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, eq=False)
class LinkCustomer:
    """Somebody who became a contact through a link; `messages` = how many they have written since."""

    external_userid: str
    userid: str
    state: str | None
    added: float
    messages: int = 0


@dataclass(slots=True, eq=False)
class Link:
    """A 获客链接. `range` and `priority` are as given; `people` = the range expanded; `waiting` = requests
    not yet approved, as external_userid: (userid, state)."""

    link_id: str
    name: str
    url: str
    created: int
    skip_verify: bool
    range: dict[str, Any]
    people: tuple[str, ...]
    priority: dict[str, Any] | None
    mark_source: bool | None
    app: str
    available: bool = True
    clicks: list[tuple[float, str]] = field(default_factory=list)
    customers: dict[tuple[str, str], LinkCustomer] = field(default_factory=dict)
    waiting: dict[str, tuple[str, str | None]] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Quota:
    """Adds that were bought together and expire together."""

    expires: int
    total: int
    balance: int


@dataclass(slots=True, eq=False)
class ChatKey:
    """What a message_from_customer event lets the backend ask for, for 30 minutes."""

    created: float
    link_id: str
    userid: str
    external_userid: str
    state: str | None
    count: int


@dataclass(slots=True, eq=False)
class Acquisition:
    """All of it."""

    links: dict[str, Link] = field(default_factory=dict)
    quotas: list[Quota] = field(default_factory=list)
    chat_keys: dict[str, ChatKey] = field(default_factory=dict)
