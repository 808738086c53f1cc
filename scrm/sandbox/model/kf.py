"""WeChat customer service: accounts, message log and sessions (wecom-api.md §7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

UNHANDLED = 0
ASSISTANT = 1
POOL = 2
HUMAN = 3
ENDED = 4


@dataclass(slots=True, eq=False)
class Session:
    """One customer with one kf account; `last_message` 0 means the customer never wrote."""

    open_kfid: str
    external_userid: str
    state: int = ENDED
    servicer: str | None = None
    last_message: float = 0.0
    sent_since: int = 0
    last_welcome: float = 0.0
    coded_states: set[int] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class EventCode:
    """A code for send_msg_on_event; `state` is the session state it needs, None for the welcome."""

    code: str
    kind: str
    session: Session
    created: float
    seconds: int
    types: tuple[str, ...]
    state: int | None
    used: bool = False


@dataclass(slots=True, eq=False)
class KfAccount:
    """One account with its append-only log of (time, item); `first` = sequence number of log[0]."""

    open_kfid: str
    name: str
    avatar: str
    granted_to: frozenset[str] | None = None
    servicers: dict[str, int] = field(default_factory=dict)
    log: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    sessions: dict[str, Session] = field(default_factory=dict)
    msgids: set[str] = field(default_factory=set)
    sent: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class KfState:
    """All of kf."""

    accounts: dict[str, KfAccount] = field(default_factory=dict)
    tokens: dict[str, tuple[str, float]] = field(default_factory=dict)
    codes: dict[str, EventCode] = field(default_factory=dict)
