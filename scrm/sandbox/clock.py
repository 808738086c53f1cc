"""The sandbox's own time: real seconds plus whatever a test has moved it forward."""

from __future__ import annotations

import time


class Clock:
    """Unix seconds that a test can advance; never goes back."""

    def __init__(self, start: int | None = None) -> None:
        """Start at the real time, or at `start` (Unix seconds) so that runs can be compared."""
        self.skew = 0.0  # seconds by which WeCom's clock is ahead of this machine's; a fault
        self._offset = 0.0 if start is None else start - time.time()

    def now(self) -> float:
        """Unix seconds with fractions."""
        return time.time() + self._offset

    def seconds(self) -> int:
        """Whole Unix seconds, as WeCom writes times."""
        return int(self.now())

    def told(self) -> int:
        """Whole Unix seconds as WeCom tells them outside: CreateTime of callbacks."""
        return int(self.now() + self.skew)

    def transport(self) -> int:
        """The real time as WeCom has it: timestamps of callbacks, Date of answers.

        A moved sandbox clock does not show here, since it must not look like a replay attack.
        """
        return int(time.time() + self.skew)

    def __setstate__(self, state: dict[str, float]) -> None:
        """A state file written before there was a skew has none."""
        self.__dict__.update({"skew": 0.0} | state)

    def advance(self, seconds: float) -> None:
        """Move forward; ValueError on a negative step, since WeCom's time never goes back."""
        if seconds < 0:
            msg = "advance_seconds must not be negative"
            raise ValueError(msg)
        self._offset += seconds
