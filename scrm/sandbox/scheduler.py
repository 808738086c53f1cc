"""Runs things when the sandbox's clock reaches them, also when a test moves the clock."""

from __future__ import annotations

import heapq
import threading
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrm.sandbox.model.world import World


class Scheduler:
    """A heap of (due, action); actions run with the world's lock held and do no network work."""

    def __init__(self, world: World) -> None:
        """Start no thread before there is something to do."""
        self._world = world
        self._heap: list[tuple[float, int, Callable[[], object]]] = []
        self._wake = threading.Condition(world.lock)
        self._order = count()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def at(self, due: float, action: Callable[[], object]) -> None:
        """Run `action` when the sandbox clock shows `due` or later."""
        with self._wake:
            heapq.heappush(self._heap, (due, next(self._order), action))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sandbox-scheduler", daemon=True)
                self._thread.start()
            self._wake.notify_all()

    def clock_moved(self) -> None:
        """Do everything the moved clock has made due, in order, before returning."""
        with self._wake:
            self._run_due()
            self._wake.notify_all()

    def clear(self) -> None:
        """Forget everything planned."""
        with self._wake:
            self._heap.clear()

    def stop(self) -> None:
        """End the thread."""
        with self._wake:
            self._stopped = True
            self._wake.notify_all()

    def _run_due(self) -> None:
        while self._heap and self._heap[0][0] <= self._world.clock.now():
            heapq.heappop(self._heap)[2]()

    def _run(self) -> None:
        with self._wake:
            while not self._stopped:
                self._run_due()
                left = self._heap[0][0] - self._world.clock.now() if self._heap else None
                self._wake.wait(left)
