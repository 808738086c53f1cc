"""One process under supervision: how it is started, when it is ready, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from scrm.cli.parent_death import tied_to_parent

BACKOFF_SECONDS = (0.5, 1, 2, 4, 8, 16, 30)  # waits before a restart; the last one repeats
STEADY_SECONDS = 60  # who lived this long starts again with the first wait
LOG_BYTES = 20_000_000  # a log larger than this is set aside (one old file is kept) at the next start


@dataclass
class Child:
    """A process that is kept running.

    :param name: how it is called on the screen and in its log's name
    :param spawn: starts it without waiting; called in the main thread
    :param ready: cheap question whether the process of this id does its work
    :param how: the signal that ends it in order
    :param grace: seconds it may take to end before it is killed
    """

    name: str
    spawn: Callable[[], subprocess.Popen[bytes]]
    ready: Callable[[int], bool]
    log: Path
    how: signal.Signals = signal.SIGTERM
    grace: float = 15.0
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float | None = None
    falls: int = 0

    def start(self) -> None:
        """Start it; it is not ready yet."""
        self.restart_at = None
        self.started_at = time.monotonic()
        self.process = self.spawn()

    def is_ready(self) -> bool:
        """Whether it runs and does its work."""
        return self.process is not None and self.ready(self.process.pid)

    def has_ended(self) -> bool:
        """Whether it was started and has ended."""
        return self.process is not None and self.process.poll() is not None

    def plan_restart(self) -> float:
        """Note its end and decide when it starts again; returns the wait in seconds."""
        now = time.monotonic()
        self.falls = 0 if now - self.started_at > STEADY_SECONDS else self.falls
        wait = BACKOFF_SECONDS[min(self.falls, len(BACKOFF_SECONDS) - 1)]
        self.falls += 1
        self.process, self.restart_at = None, now + wait
        return wait

    def ask_to_end(self) -> None:
        """Send its signal, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.how)

    def wait_end(self, until: float) -> bool:
        """Wait until ``until`` (monotonic), then kill it and its children; whether it ended in order."""
        if self.process is None:
            return True
        try:
            self.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        finally:
            self.process = None
        return True

    def kill(self) -> None:
        """End it and its children at once."""
        if self.process is None:
            return
        try:
            family = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        self.process.kill()
        for member in family:
            if member.is_running():
                member.kill()
        self.process.wait()

    def last_lines(self, number: int = 3) -> str:
        """The end of its log, to be said when it does not start."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(line[:500] for line in lines[-number:])


def spawn_scrm(arguments: list[str], log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start one of our own commands, its output in ``log``, tied to this process's life."""
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.old"))
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "scrm.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, **environment},
            start_new_session=True,  # Ctrl-C in the terminal reaches `scrm up` only, which stops all in order
            preexec_fn=tied_to_parent(),  # noqa: PLW1509  # one C call; started from the main thread
        )
