"""How the figures of the table are kept: windows, buckets, turns, and what each priority leaves free."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from config.settings import ApiLimits
from config.settings import Governor as GovernorSettings
from scrm.wecom.limits_table import (
    CALLS_AT_ONCE,
    DAY,
    EVERY,
    HOUR,
    MATCHES,
    MINUTE,
    MONTH,
    OWN_RATE_ONLY,
    PERSON_TIMES_PER_ACCOUNT,
    SEND,
    Limit,
    Only,
    Per,
    Sent,
    members_of,
    rows_of,
)
from scrm.wecom.models import Priority

BURST_SHARE = {MINUTE: 0.1, HOUR: 0.5}
"""Share of a window's calls that may come at once; the rest flows evenly, so that no window holds more than its figure."""
SMALL, SMALL_BURST_SHARE = 100, 0.5  # a tenth of a small figure would make everybody wait
SLOT_SECONDS = 30.0  # a killed process's calls count as under way this long
CAP_GROWS_MS = 30_000  # the number of calls at once learned from 45033 grows by one this often
LONGEST_COOLDOWN_SECONDS = float(HOUR)  # WeCom's block after the hour's rule (wecom-api.md section 1.4)

RESERVE: dict[Priority, float] = {
    Priority.WELCOME: 0.0,
    Priority.REPLY: 0.1,
    Priority.TAG: 0.2,
    Priority.BROADCAST: 0.4,
    Priority.SYNC: 0.6,
}
"""Share of tokens and of calls at once that a priority must leave to those who go first."""


@dataclass(frozen=True)
class Window:
    """One figure as it is kept: a token bucket, or from a day on a count of calendar days.

    :param figure: calls in the window; the row's own, or what the configuration says instead
    """

    row: Limit
    figure: float

    @property
    def counted(self) -> bool:
        """Whether days are counted."""
        return self.row.window >= DAY

    @cached_property
    def burst(self) -> float:
        """Calls at once; of a counted window all."""
        if self.counted:
            return self.figure
        share = SMALL_BURST_SHARE if self.row.figure <= SMALL else BURST_SHARE[self.row.window]
        return max(1.0, self.figure * share)

    @cached_property
    def rate(self) -> float:
        """Calls that come back per millisecond: burst + rate × window is the figure; 0 where days are counted."""
        if self.counted:
            return 0.0
        return max(self.figure - self.burst, self.figure * BURST_SHARE[MINUTE]) / (self.row.window * 1000)


@dataclass(frozen=True)
class Bucket:
    """Windows that one call takes from together.

    :param name: its part of the key in Redis
    :param cost: how much the call takes
    :param reserved: whether priorities leave their share free
    """

    name: str
    windows: tuple[Window, ...]
    cost: int = 1
    reserved: bool = True


class Rules:
    """What one API is held to.

    :param own: WeCom counts per app: everything learned at this API is kept per app
    """

    def __init__(self, settings: GovernorSettings, api: str, share: float = 1.0) -> None:
        """``share`` < 1: for a process that must guess its part of the whole."""
        self.api = api
        self.own = api in OWN_RATE_ONLY
        self._accounts = settings.accounts
        own = next((entry for entry in settings.limits if entry.api == api), ApiLimits(api=api))
        most, _ = CALLS_AT_ONCE.get(api, (settings.concurrent, ""))
        self.calls = max(1, int((own.concurrent or min(settings.concurrent, most)) * share))
        self.windows = [Window(row, row.figure * share) for row in _rows(settings, api, own)]
        self._by_count: dict[tuple[Per, Only], list[Window]] = {}
        for window in self.windows:
            self._by_count.setdefault((window.row.per, window.row.only), []).append(window)

    @property
    def has_days(self) -> bool:
        """Whether a day's or a month's rule may be behind a block."""
        return any(window.counted for window in self.windows)

    def buckets(self, app: str, sent: Sent) -> tuple[Bucket, ...]:
        """What a call with the content ``sent`` takes from; ``app``: digest of the calling app."""
        plain = self._plain
        if plain is not None:
            return plain
        return tuple(self._buckets(app, sent))

    def shared_buckets(self, app: str) -> tuple[Bucket, ...]:
        """The buckets there are without knowing a call: all but those of single members."""
        return tuple(
            Bucket(_name(per, only, app), tuple(windows))
            for (per, only), windows in self._by_count.items()
            if per != Per.MEMBER
        )

    @cached_property
    def _plain(self) -> tuple[Bucket, ...] | None:
        """The buckets of an API whose calls are all alike, which most are."""
        if set(self._by_count) - {(Per.CORP, Only.ALL)}:
            return None
        return self.shared_buckets("")

    def _buckets(self, app: str, sent: Sent) -> Iterator[Bucket]:
        for (per, only), windows in self._by_count.items():
            if not MATCHES[only](sent):
                continue
            name, kept = _name(per, only, app), tuple(windows)
            if per == Per.MEMBER:
                for userid in members_of(sent):
                    yield Bucket(f"{name}:{userid}", kept, reserved=False)
            elif self.api == SEND:
                yield Bucket(name, kept, cost=len(members_of(sent)) or self._accounts)
            else:
                yield Bucket(name, kept)


def _name(per: Per, only: Only, app: str) -> str:
    return ":".join([per, only, *([app] if per != Per.CORP else [])])


def _rows(settings: GovernorSettings, api: str, own: ApiLimits) -> Sequence[Limit]:
    """One row per count and window: the strictest of the table, or the one of the configuration."""
    kept: dict[tuple[Per, Only, int], Limit] = {}
    for row in [
        *_table_rows(settings, api),
        *_configured(own, Per.APP if api in OWN_RATE_ONLY else Per.CORP),
    ]:
        key = (row.per, row.only, row.window)
        if key not in kept or row.source == CONFIGURED or row.figure < kept[key].figure:
            kept[key] = row
    return list(kept.values())


CONFIGURED = "governor.limits"


def _table_rows(settings: GovernorSettings, api: str) -> Iterator[Limit]:
    base = {MINUTE: settings.per_minute, HOUR: settings.per_hour}
    for row in rows_of(api):
        yield row if row.api != EVERY else Limit(EVERY, row.per, base[row.window], row.window, row.source)
    if api == SEND and settings.accounts:
        yield Limit(SEND, Per.APP, PERSON_TIMES_PER_ACCOUNT * settings.accounts, DAY, "1.4")


def _configured(own: ApiLimits, per: Per) -> Iterator[Limit]:
    figures = {MINUTE: own.per_minute, HOUR: own.per_hour, DAY: own.per_day, MONTH: own.per_month}
    for window, figure in figures.items():
        if figure is not None:
            yield Limit(own.api, per, figure, window, CONFIGURED)


@dataclass(frozen=True)
class Turn:
    """Answer to "may I call now?".

    :param granted: go
    :param wait_ms: else, in how many milliseconds to ask again
    :param why: ``cooldown``, ``circuit``, ``rate``, ``quota`` (of a day or month) or ``calls``
    :param probe: the one call that tries whether WeCom answers again
    """

    granted: bool
    wait_ms: float = 0.0
    why: str = ""
    probe: bool = False


@dataclass(frozen=True)
class Door:
    """Whether calls of an API are tried at all.

    :param cool_seconds: until WeCom's block ends, 0 when there is none
    :param open_seconds: how long ago the circuit opened; None: it is closed
    :param pause_seconds: how long it leaves the API alone
    :param trying: one call is trying just now
    """

    cool_seconds: float = 0.0
    open_seconds: float | None = None
    pause_seconds: float = 0.0
    trying: bool = False

    @property
    def circuit(self) -> str:
        """``closed``, ``open`` (nothing is tried) or ``half-open`` (one call at a time)."""
        if self.open_seconds is None:
            return "closed"
        return "half-open" if self.trying or self.open_seconds >= self.pause_seconds else "open"

    def shut_seconds(self, longest_pause: float) -> float:
        """How long nothing is tried, for one who leaves a silent API alone at most ``longest_pause`` seconds."""
        if self.open_seconds is None:
            return self.cool_seconds
        pause = min(self.pause_seconds, longest_pause) - self.open_seconds
        return max(self.cool_seconds, pause)


@dataclass(frozen=True)
class WindowLeft:
    """What is left of one figure; those of single members are not shown.

    :param figure: calls (of ``message/send``: messages) in ``seconds``
    :param source: section of wecom-api.md, or the configuration
    """

    per: Per
    only: Only
    seconds: int
    figure: int
    left: int
    source: str

    @classmethod
    def of(cls, window: Window, left: float) -> WindowLeft:
        """Of a token bucket, what may be called at once; of days, what they still hold."""
        row = window.row
        return cls(row.per, row.only, row.window, row.figure, max(0, int(left)), row.source)


@dataclass(frozen=True)
class Left:
    """What is left of one API.

    :param app: the app it is counted for; None: all apps together
    :param windows: one per figure
    :param running: calls under way
    :param calls: calls at once
    :param door: whether calls are tried at all
    """

    api: str
    app: str | None
    windows: tuple[WindowLeft, ...]
    running: int
    calls: int
    door: Door
