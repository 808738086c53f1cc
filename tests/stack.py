"""The whole deployment as real processes: for fault tests and benchmarks.

``with Stack(...) as stack:`` starts fresh stores, the sandbox WeCom, web, one worker per queue and the clock, through
the same ``scrm`` commands that people use (in tests forked from a process that has loaded them: see ``nursery``). ``stack.kill("worker:events")`` and friends do what the night does.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import psycopg
import requests
from redis import Redis

from config.queues import Queue
from scrm.cli.stores import Postgres, Valkey, stop
from scrm.sandbox.control import SandboxControl
from scrm.sandbox.ports import free_port
from scrm.sandbox.testing import RunningSandbox, running_sandbox
from tests import nursery

CORP_ID = "wx5823bf96d3bd56c7"
APP = {
    "agent_id": 1000002,
    "secret": "test-secret-0123456789",
    "token": "QDG6eK",
    "aes_key": "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C",
}
EVERYTHING = ("web", "clock", *(f"worker:{queue}" for queue in Queue))
READY_SECONDS = 60.0
SCRM = str(Path(sys.executable).with_name("scrm"))
TEST_FOLDER = "SCRM_TEST_FOLDER"  # of the whole test run
STOP_SECONDS = (
    3.0  # a worker that still waits for its turn at WeCom then is killed: here nobody needs it any more
)
# What the clock asks about every few seconds, it asks about every second: no test is about how long people wait.
QUICK_CLOCK = """
from dataclasses import replace
from config import schedule

def quick(line):
    often = isinstance(line, schedule.Every) and 1 < line.seconds <= 5
    return replace(line, seconds=1) if often else line

schedule.SCHEDULE = tuple(map(quick, schedule.SCHEDULE))
from scrm.cli.main import main
main(["clock"])
"""


class Stack:
    """One deployment under a temporary folder.

    :param processes: which of :data:`EVERYTHING` to start at once; others can be started later
    :param environment: further ``SCRM_*`` variables for all of them
    :param durable: keep PostgreSQL's fsync on (benchmarks)
    :param limits: limits of the sandbox, such as ``{"rate_limits_on": False}``
    :param postgres: a database that is there already and stays afterwards
    """

    def __init__(
        self,
        processes: Iterable[str] = EVERYTHING,
        *,
        environment: dict[str, str] | None = None,
        durable: bool = False,
        limits: dict[str, Any] | None = None,
        postgres: Postgres | None = None,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="scrm-stack-"))
        self.postgres = postgres or Postgres(self.folder / "pg", durable=durable)
        self.valkey = Valkey(self.folder / "valkey", durable=durable)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._first = tuple(processes)
        self._extra = environment or {}
        self._limits = limits or {}
        self._running: dict[str, nursery.Child | subprocess.Popen[bytes]] = {}
        self._stores: dict[str, subprocess.Popen[bytes]] = {}
        self._stack = ExitStack()
        self.sandbox: RunningSandbox

    @property
    def control(self) -> SandboxControl:
        """Control of the sandbox WeCom."""
        return self.sandbox.control

    @property
    def callback_url(self) -> str:
        """Where the sandbox sends callbacks."""
        return f"{self.url}/wecom/callbacks/main"

    def __enter__(self) -> Self:
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._stack.callback(self._stop_all)
        try:
            self.start_store("valkey")
            app = {
                "name": "main",
                "agentid": APP["agent_id"],
                **{k: APP[k] for k in ("secret", "token", "aes_key")},
            }
            config = {"corp_id": CORP_ID, "apps": [app], "limits": self._limits}
            self.sandbox = self._stack.enter_context(running_sandbox(config))
            self._start_database()
            for name in self._first:
                self.start(name)
            if "web" in self._first:
                self.wait_web()
                self.control.set_callback(self.callback_url, verify=True)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start_database(self) -> None:
        """PostgreSQL with our tables: the first stack of a test run migrates, the others begin with a copy."""
        with _kept_database() as kept:
            if kept and kept.exists():
                _copy(kept, self.postgres.folder)
                self.start_store("postgres")
                return
            self.start_store("postgres")
            self.run("migrate")
            if kept:
                self.stop_store("postgres")
                _copy(self.postgres.folder, kept)
                self.start_store("postgres")

    def environment(self) -> dict[str, str]:
        """The environment of every process of this deployment."""
        own = {
            "SCRM_DATABASE_URL": self.postgres.url,
            "SCRM_REDIS_URL": self.valkey.url,
            "SCRM_VAR_DIR": str(self.folder / "var"),
            "SCRM_CORP__ID": CORP_ID,
            "SCRM_WEB__PORT": str(self.port),
            "SCRM_WECOM__BASE_URL": self.sandbox.base_url,
            "SCRM_LOG__LEVEL": "WARNING",
            **{f"SCRM_APPS__MAIN__{key.upper()}": str(value) for key, value in APP.items()},
        }
        clean = {key: value for key, value in os.environ.items() if not key.startswith("SCRM_")}
        return {**clean, **own, **self._extra}

    def run(self, *arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run one ``scrm`` command to its end; raises with its output when it fails.

        :param seconds: how long it may take, outside of tests
        """
        if in_tests():
            done = nursery.run([*arguments], self.environment())
        else:
            done = subprocess.run(
                [SCRM, *arguments],
                env=self.environment(), capture_output=True, text=True, check=False, timeout=seconds,
            )  # fmt: skip
        if done.returncode:
            raise AssertionError(
                f"scrm {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done

    def start(self, name: str, **environment: str) -> None:
        """Start ``web``, ``clock`` or ``worker:<queue>``; keyword arguments are further environment variables."""
        every = {**self.environment(), **environment}
        if in_tests():
            arguments = ["-c", QUICK_CLOCK] if name == "clock" else name.split(":")
            self._running[name] = nursery.nursery().spawn(arguments, every, self.log(name))
            return
        with self.log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                [SCRM, *name.split(":")], env=every, stdout=log, stderr=log, start_new_session=True
            )

    def log(self, name: str) -> Path:
        """The log file of a process."""
        return self.folder / f"{name.replace(':', '-')}.log"

    def pid(self, name: str) -> int:
        """Process id of a started process or store."""
        return {**self._running, **self._stores}[name].pid

    def names(self) -> list[str]:
        """What runs: processes and stores, the sandbox excepted."""
        return [*self._running, *self._stores]

    def signal(self, name: str, how: signal.Signals) -> None:
        """Send a signal to a process and its children."""
        os.killpg(self._running[name].pid, how)

    def kill(self, name: str) -> None:
        """kill -9, children too, and wait for its end."""
        self.signal(name, signal.SIGKILL)
        self._running.pop(name).wait()

    def terminate(self, name: str, seconds: float = 60.0) -> int:
        """SIGTERM to the process itself, as a supervisor does; returns its exit code."""
        process = self._running.pop(name)
        process.terminate()
        return process.wait(seconds)

    def wait_end(self, name: str, seconds: float = 30.0) -> int:
        """Wait until a process has ended by itself (a crash point); returns its exit code."""
        return self._running.pop(name).wait(seconds)

    def alive(self, name: str) -> bool:
        """Whether the process runs."""
        return name in self._running and self._running[name].poll() is None

    def start_store(self, name: str) -> None:
        """Start ``postgres`` or ``valkey`` on the same data."""
        self._stores[name] = getattr(self, name).start()

    def stop_store(self, name: str) -> None:
        """Stop ``postgres`` or ``valkey`` in order."""
        stop(self._stores.pop(name), getattr(self, name).stop_signal)

    def redis(self) -> Redis:
        """A client of this deployment's Valkey."""
        return Redis.from_url(self.valkey.url)

    def sql(self, question: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a question to this deployment's database; rows of a write with RETURNING, otherwise none."""
        with psycopg.connect(self.postgres.dsn("scrm"), autocommit=True) as connection:
            cursor = connection.execute(question, values or None)
            return cursor.fetchall() if cursor.description else []

    def wait_web(self) -> None:
        """Wait until the web process is ready."""
        wait_until(self._ready, READY_SECONDS, lambda: self.log("web").read_text(errors="replace")[-3000:])

    def _ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/readyz", timeout=30).status_code == requests.codes.ok
        except requests.ConnectionError:
            return False

    def wait_drained(self, seconds: float = 60.0) -> None:
        """Wait until the sandbox has delivered everything and no callback or effect is open."""
        open_rows = (
            "SELECT (SELECT count(*) FROM callback_inbox WHERE state IN ('received', 'processing', 'failed'))"
            " + (SELECT count(*) FROM effects WHERE state IN ('planned', 'sent', 'unknown'))"
        )
        self.control.wait_callbacks(seconds)
        wait_until(lambda: self.sql(open_rows)[0][0] == 0, seconds, lambda: str(self.sql(
            "SELECT 'inbox', state, count(*) FROM callback_inbox GROUP BY 2 UNION ALL"
            " SELECT kind, state, count(*) FROM effects GROUP BY 1, 2")))  # fmt: skip

    def _stop_all(self) -> None:
        for process in self._running.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGCONT)
                process.terminate()
        for process in self._running.values():
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for name in ("valkey", "postgres"):
            if name in self._stores:
                self.stop_store(name)


def wait_until(question: Callable[[], bool], seconds: float, why: Callable[[], str] = lambda: "") -> None:
    """Ask until the answer is yes; AssertionError with ``why()`` after ``seconds``."""
    until = time.monotonic() + seconds
    while not question():
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds:.0f} s: {why()}")
        time.sleep(0.05)


def in_tests() -> bool:
    """Whether pytest runs, so that processes and databases may come from a prepared one; benchmarks start from nothing."""
    return TEST_FOLDER in os.environ


@contextmanager
def _kept_database() -> Iterator[Path | None]:
    """Where the migrated database of this test run is, or will be; one stack at a time may look."""
    if not in_tests():
        yield None
        return
    folder = Path(os.environ[TEST_FOLDER])
    with (folder / "stack.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder / "stack-database"


def _copy(source: Path, target: Path) -> None:
    """Copy a stopped PostgreSQL with owners and permissions."""
    draft = target.with_name(f"{target.name}.draft")
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(draft)], check=True)
    draft.rename(target)
