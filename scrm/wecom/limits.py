"""The figures behind the governor: what WeCom allows one app at one API, and what each priority leaves free."""

from __future__ import annotations

from dataclasses import dataclass

from config.settings import Governor as GovernorSettings
from scrm.wecom.models import Priority

BURST_SHARE = (
    0.1  # of a minute's calls at once; the rest flows evenly, so that no minute holds more than the limit
)
HOUR_BURST_SHARE = 0.5  # the same for the hour
MINUTE_MS = 60_000.0
HOUR_MS = 3_600_000.0
LONGEST_COOLDOWN_SECONDS = 3600.0  # WeCom's block after the hour's rule (wecom-api.md section 1.4)
SLOT_SECONDS = 30.0  # a killed process's calls count as under way this long
CAP_GROWS_MS = 30_000  # the number of calls at once learned from 45033 grows by one this often

RESERVE: dict[Priority, float] = {
    Priority.WELCOME: 0.0,
    Priority.REPLY: 0.1,
    Priority.TAG: 0.2,
    Priority.BROADCAST: 0.4,
    Priority.SYNC: 0.6,
}
"""Share of tokens and of calls at once that a priority must leave to those who go first."""

CALLS_AT_ONCE: dict[str, int] = {"kf/sync_msg": 5}
"""Figures known for single APIs (wecom-api.md section 1.3, 45033)."""


@dataclass(frozen=True)
class Figures:
    """A token bucket for the minute and one for the hour, and the calls at once.

    Bursts are in calls, rates in calls per millisecond: burst + rate × window is exactly WeCom's limit.
    """

    minute_burst: float
    minute_rate: float
    hour_burst: float
    hour_rate: float
    calls: int

    @classmethod
    def of(cls, settings: GovernorSettings, api: str, share: float = 1.0) -> Figures:
        """The figures of ``api``; ``share`` < 1 for a process that must guess its part of the whole."""
        minute, hour = settings.per_minute * share, settings.per_hour * share
        calls = min(settings.concurrent, CALLS_AT_ONCE.get(api, settings.concurrent))
        minute_burst, hour_burst = max(1.0, minute * BURST_SHARE), max(1.0, hour * HOUR_BURST_SHARE)
        return cls(
            minute_burst,
            max(minute - minute_burst, minute * BURST_SHARE) / MINUTE_MS,
            hour_burst,
            max(hour - hour_burst, hour * BURST_SHARE) / HOUR_MS,
            max(1, int(calls * share)),
        )


@dataclass(frozen=True)
class Turn:
    """Answer to "may I call now?".

    :param granted: go
    :param wait_ms: else, in how many milliseconds to ask again
    :param why: ``cooldown``, ``rate`` or ``calls``
    """

    granted: bool
    wait_ms: float = 0.0
    why: str = ""


@dataclass(frozen=True)
class Left:
    """What is left of one API.

    :param minute: calls that may be made now
    :param hour: calls that may be made before the hour's limit slows them
    :param running: calls under way
    :param closed_seconds: until WeCom's block ends, 0 when open
    """

    api: str
    minute: int
    hour: int
    running: int
    closed_seconds: float
