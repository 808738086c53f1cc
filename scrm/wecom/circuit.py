"""When an API that does not answer is left alone: what counts as silence, and for how long (ADR 11)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from config.settings import Governor as GovernorSettings
from scrm.wecom.errors import Deferred, ErrorKind, WecomError
from scrm.wecom.models import Priority

FIRST_PAUSE_SECONDS = 1.0  # a hiccup is over by then; an outage doubles it each time
URGENT_PAUSE_SECONDS = 5.0  # a welcome lives 20 seconds: with one waiting, WeCom is tried this often
URGENT = frozenset({Priority.WELCOME, Priority.REPLY})
SYSTEM_BUSY = -1
SILENT = frozenset({ErrorKind.RETRYABLE, ErrorKind.UNCLEAR})


class Heard(StrEnum):
    """What a call says about WeCom's health at an API."""

    ANSWER = "answer"  # any answer, a refusal too
    SILENCE = "silence"  # no connection, no readable answer, HTTP 5xx, or "system busy"
    NOTHING = "nothing"  # the call never left


class Change(StrEnum):
    """What the end of a call did to the circuit."""

    NONE = ""
    OPENED = "opened"
    STILL = "still"  # it was open and is
    CLOSED = "closed"


@dataclass(frozen=True)
class Ended:
    """What the end of a call showed.

    :param seconds: until somebody may try again
    :param outage: WeCom does not answer here, or has answered nobody anywhere since this API fell silent: the failure
        says nothing of the call itself
    """

    change: Change = Change.NONE
    seconds: float = 0.0
    outage: bool = False


@dataclass(frozen=True)
class CircuitRules:
    """The figures.

    :param failures: one after the other until the circuit opens; 0: never
    """

    failures: int
    longest: float
    first: float = FIRST_PAUSE_SECONDS

    @classmethod
    def of(cls, settings: GovernorSettings) -> CircuitRules:
        """As configured."""
        first = min(FIRST_PAUSE_SECONDS, settings.circuit_seconds)
        return cls(settings.circuit_failures, settings.circuit_seconds, first)

    def patience(self, priority: Priority) -> float:
        """Seconds for which ``priority`` leaves a silent API alone at the most."""
        return min(URGENT_PAUSE_SECONDS, self.longest) if priority in URGENT else self.longest


def heard_in(error: WecomError) -> Heard:
    """What an error says about WeCom's health."""
    if isinstance(error, Deferred):
        return Heard.NOTHING
    if error.errcode == SYSTEM_BUSY or (error.errcode is None and error.kind in SILENT):
        return Heard.SILENCE
    return Heard.ANSWER
