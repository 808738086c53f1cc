"""SIGTERM and Ctrl-C as events that loops look at."""

from __future__ import annotations

import signal
import threading


class Stopping:
    """Whether a person or a supervisor wants the end.

    ``asked`` is set by the first signal, ``hurry`` by a second one: do not wait for running work any longer.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.hurry = threading.Event()

    def listen(self) -> None:
        """Take over SIGTERM, SIGINT and SIGHUP; call it in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # `nohup` wants a closed terminal to end nothing
                signal.signal(number, self._note)

    def _note(self, *_: object) -> None:
        if self.asked.is_set():
            self.hurry.set()
        self.asked.set()


def stop_event() -> threading.Event:
    """An event that SIGTERM and SIGINT set; call it in the main thread."""
    stopping = Stopping()
    stopping.listen()
    return stopping.asked
