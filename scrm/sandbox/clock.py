"""The sandbox's own time: real seconds plus whatever a test has moved it forward."""

from __future__ import annotations

import time


class Clock:
    """Unix seconds that a test can advance; never goes back."""

    def __init__(self, start: int | None = None) -> None:
        """Start at the real time, or at `start` (Unix seconds) so that runs can be compared."""
        self._offset = 0.0 if start is None else start - time.time()

    def now(self) -> float:
        """Unix seconds with fractions."""
        return time.time() + self._offset

    def seconds(self) -> int:
        """Whole Unix seconds, as WeCom writes times."""
        return int(self.now())

    def advance(self, seconds: float) -> None:
        """Move forward; ValueError on a negative step, since WeCom's time never goes back."""
        if seconds < 0:
            msg = "advance_seconds must not be negative"
            raise ValueError(msg)
        self._offset += seconds
