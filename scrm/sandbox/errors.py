"""The one exception by which an API handler refuses a call."""

from __future__ import annotations

from typing import Any


class WecomError(Exception):
    """A refusal: `errcode` of wecom-api.md §1.3 and the first words of `errmsg`."""

    def __init__(self, errcode: int, text: str, extra: dict[str, Any] | None = None) -> None:
        """`extra` holds list fields that even a failed answer carries (§2.5)."""
        super().__init__(f"{errcode} {text}")
        self.errcode = errcode
        self.text = text
        self.extra = extra or {}


class ControlError(Exception):
    """A control call that makes no sense; becomes a 4xx with this one sentence."""

    def __init__(self, message: str, status: int = 400) -> None:
        """`message` names the field and what is wrong with it."""
        super().__init__(message)
        self.message = message
        self.status = status
