"""Real processes of the program without the seconds each takes to load it: a nursery has loaded it, and forks.

What comes out is a process of its own, with its own process id, process group, environment, output and signals, and
it runs ``scrm <arguments>`` from the first line of the command to the exit code (or, after ``-c``, any Python). Only
Python's start and the imports are shared. That the installed command starts by itself is what the tests of
``scrm up``, of ``scrm demo`` and of exit codes prove; they use no nursery.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
METRICS = "PROMETHEUS_MULTIPROC_DIR"


class Child:
    """A process from the nursery, to be handled like a ``subprocess.Popen``."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._nursery = nursery

    def poll(self) -> int | None:
        """Its exit code, minus the signal that ended it, or None while it lives."""
        if self.returncode is None:
            self.returncode = self._nursery.ask(end_of=self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; ``subprocess.TimeoutExpired`` after ``timeout`` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            time.sleep(0.01)
        return code

    def send_signal(self, how: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, how)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The program, loaded, in a process that does nothing but fork."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="scrm-nursery-")
        clean = {key: value for key, value in os.environ.items() if not key.startswith("SCRM_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.nursery"],
            env={**clean, METRICS: self._folder.name},
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._turn = threading.Lock()
        self._answer()  # it is ready

    def spawn(
        self,
        arguments: list[str],
        environment: dict[str, str],
        out: Path,
        *,
        err: Path | None = None,
        cwd: Path = ROOT,
    ) -> Child:
        """Start ``scrm <arguments>``; ``out`` takes its stdout, and its stderr when there is no ``err``.

        :param arguments: what stands behind ``scrm``, or ``-c`` and a Python text
        """
        paths = {"out": str(out), "err": str(err or out), "cwd": str(cwd)}
        return Child(self, self.ask(arguments=arguments, environment=environment, **paths))

    def ask(self, **question: Any) -> Any:
        """One question, one answer; any thread may ask."""
        with self._turn:
            assert self._process.stdin
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End it; its children are ended by those who started them."""
        self._process.communicate()
        self._folder.cleanup()


@cache
def nursery() -> Nursery:
    """The nursery of this test process, made when first needed."""
    made = Nursery()
    atexit.register(made.close)
    return made


def run(
    arguments: list[str], environment: dict[str, str], *, cwd: Path = ROOT, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run one ``scrm`` command to its end, as ``subprocess.run`` does with captured text."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        child = nursery().spawn(arguments, environment, out, err=err, cwd=cwd)
        try:
            code = child.wait(timeout)
        except BaseException:
            child.kill()
            raise
        return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())


def serve() -> None:
    """Load the program, then fork a process for every question of the test, or say how one ended."""
    questions, answers = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    _load()
    print("true", file=answers, flush=True)
    for line in questions:
        question = json.loads(line)
        if "end_of" in question:
            answer: Any = _end_of(question["end_of"])
        else:
            answer = os.fork()
            if answer:
                _lead(answer)
            else:
                questions.close()
                answers.close()
                return _live(**question)
        print(json.dumps(answer), file=answers, flush=True)
    return None


def _load() -> None:
    """Import what the commands import."""
    import gc
    import importlib

    from sqlalchemy.orm import configure_mappers

    from scrm.bootstrap import load_packages
    from scrm.cli.main import COMMANDS

    gc.disable()
    load_packages()
    configure_mappers()
    for place, _ in COMMANDS.values():
        importlib.import_module(place.partition(":")[0])
    for late in ("application", "serving.worker", "console", "stopping"):
        importlib.import_module(f"scrm.cli.{late}")
    for late in ("granian", "rq", "alembic.command", "scrm.kernel.http", "config.logging"):
        importlib.import_module(late)
    assert threading.active_count() == 1, threading.enumerate()  # a fork copies no other thread
    gc.freeze()
    gc.enable()


def _lead(pid: int) -> None:
    """Let it lead a process group of its own, whoever of parent and child comes first: signals go to groups."""
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.setpgid(pid, pid)


def _end_of(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _live(arguments: list[str], environment: dict[str, str], out: str, err: str, cwd: str) -> None:
    """The child: become ``scrm <arguments>``; returns to leave through Python's own end."""
    _lead(0)
    os.chdir(cwd)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, flags, 0o644), number)
    metrics = os.environ[METRICS]
    os.environ.clear()
    os.environ.update(environment)
    if arguments[0] != "web":  # the web server makes a folder for its own counters
        os.environ.setdefault(METRICS, metrics)
    _forget()
    sys.argv = ["scrm", *arguments]
    if arguments[0] == "-c":
        exec(arguments[1], {"__name__": "__main__"})  # noqa: S102  # a test's own text
        return
    from scrm.cli.main import main

    main(arguments)


def _forget() -> None:
    """Read again what was read from the nursery's own environment."""
    import importlib

    from config.settings import current_settings
    from scrm.kernel import crashpoints

    importlib.reload(crashpoints)
    current_settings.cache_clear()


if __name__ == "__main__":
    serve()
