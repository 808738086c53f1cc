"""Workers that are killed at a named place, one process each, without the second it takes to start Python.

Run as a program, this loads the application once and forks a process for every line it reads; the child works through
one lane like ``scrm worker`` does and kills itself (SIGKILL) where ``SCRM_CRASH_AT`` would have it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[3]


class Workers:
    """The program from outside."""

    def __init__(self, environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "tests.scrm.wecom.crashing"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, env=environment, cwd=ROOT, text=True, **pipes)
        self._process.stdout.readline()  # it is ready

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # it reads to the end and leaves

    def run(self, queue: str, crash_at: str = "", shift: float = 0.0) -> int:
        """One worker's life: 0, or minus the signal that ended it."""
        wanted = {"queue": queue, "crash_at": crash_at, "shift": shift}
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def serve() -> None:
    """Fork a worker per line of stdin, one after the other."""
    from config.settings import load_settings
    from scrm.bootstrap import create_app

    app = create_app(load_settings())
    say("ready")
    for line in sys.stdin:
        child = os.fork()
        if not child:
            work(app, **json.loads(line))
        _, status = os.waitpid(child, 0)
        say(str(-status if status < 256 else status >> 8))


def say(line: str) -> None:
    """Answer the test."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def work(app, queue: str, crash_at: str, shift: float) -> None:
    """The worker: never returns."""
    from config.queues import Queue
    from scrm.kernel import crashpoints
    from scrm.kernel.clock import shifted
    from scrm.kernel.db import db
    from scrm.wecom.jobs import LANES

    code = 1
    try:
        crashpoints._crash_at = crash_at or None  # read from SCRM_CRASH_AT when a process starts
        with app.app_context(), shifted(timedelta(seconds=shift)):
            db.engine.dispose(close=False)
            LANES[Queue(queue)]()
        code = 0
    finally:
        if code:
            traceback.print_exc()
        os._exit(code)  # nothing of the test's own process is cleaned up here


if __name__ == "__main__":
    serve()
