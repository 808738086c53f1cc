"""Wakes the lanes after commits, seldom and from its own thread: a Redis that hangs must not hold up a commit."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger(__name__)

PAUSE_SECONDS: Final = 0.02


class Waker:
    """Calls ``wake(lanes)`` soon after :meth:`note`, at most once per pause, never for nothing.

    A wake-up that is lost costs only promptness: the clock asks every second.

    :param wake: pushes the wake-ups; runs in this object's thread
    :param pause: seconds between two calls
    """

    def __init__(self, wake: Callable[[set[str]], None], pause: float = PAUSE_SECONDS) -> None:
        self._wake = wake
        self._pause = pause
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._noted: set[str] = set()
        self._bell = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, lanes: set[str]) -> None:
        """Remember that rows of these lanes were committed. Called by one thread, the committer; never blocks."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="callback-waker", daemon=True)
            self._thread.start()
        self._noted |= lanes
        if not self._bell.is_set():
            self._bell.set()

    def _run(self) -> None:
        while True:
            self._bell.wait()
            self._bell.clear()
            lanes, self._noted = self._noted, set()
            self._wake(lanes)
            time.sleep(self._pause)
