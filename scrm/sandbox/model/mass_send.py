"""Mass sends: a task the API makes and staff carry out (wecom-api.md §4.9)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

NOT_SENT = 0
SENT = 1
NOT_A_FRIEND = 2
OVER_CAP = 3
TASK_SENT = 2


@dataclass(slots=True, eq=False)
class SenderTask:
    """What one member has to confirm: recipients with (status, send_time) each."""

    userid: str
    recipients: dict[str, tuple[int, int | None]]
    status: int = NOT_SENT
    send_time: int | None = None
    due: float | None = None


@dataclass(slots=True, eq=False)
class MassSend:
    """One msgid."""

    msgid: str
    app: str
    chat_type: str
    created: float
    text: dict[str, Any] | None
    attachments: list[dict[str, Any]]
    senders: dict[str, SenderTask]
    fail_list: list[str]
    cancelled: bool = False
    reminders: list[float] = field(default_factory=list)
