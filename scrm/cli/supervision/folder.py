"""The folder of one deployment on this machine: who holds it, where logs are, what its processes were told."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from config.settings import SettingsError

MARKER = "SCRM_UP_FOLDER"  # in the environment of everything that `scrm up` starts


@dataclass(frozen=True)
class Folder:
    """``var_dir`` and what `scrm up` keeps in it."""

    path: Path

    @property
    def logs(self) -> Path:
        """One log file per process."""
        return self.path / "log"

    @property
    def run(self) -> Path:
        """What only matters while `scrm up` runs."""
        return self.path / "run"

    @property
    def processes(self) -> Path:
        """The list of started processes."""
        return self.run / "processes.json"

    @property
    def environment(self) -> Path:
        """The ``SCRM_*`` variables of the running processes; secrets, so for the owner only."""
        return self.run / "environment.json"

    @property
    def metrics(self) -> Path:
        """Where processes share their Prometheus counters."""
        return self.run / "metrics"

    def make(self) -> None:
        """Make the folders; raises SettingsError when this user may not."""
        try:
            self.path.mkdir(
                mode=0o711, parents=True, exist_ok=True
            )  # PostgreSQL of root walks through as nobody
            for folder in (self.logs, self.run):
                folder.mkdir(mode=0o700, exist_ok=True)
            (self.run / "lock").touch()
        except OSError as error:
            raise SettingsError(
                f"var_dir: {self.path} cannot be written ({error.strerror}); "
                "set SCRM_VAR_DIR to a folder of your own"
            ) from None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for the length of a block; the lock ends with the process, however it ends.

        :raises SettingsError: when another process holds it, naming that process
        """
        self.make()
        with (self.run / "lock").open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise SettingsError(
                    f"process {lock.read().strip() or 'unknown'} (`scrm up`) holds the folder {self.path}; "
                    "stop it, or set SCRM_VAR_DIR to another folder and give --port-base"
                ) from None
            lock.truncate()
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def is_held(self) -> bool:
        """Whether a `scrm up` runs on this folder."""
        try:
            with (self.run / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def keep_environment(self, variables: dict[str, str]) -> None:
        """Write down what the processes were told, for `scrm doctor` and others called beside them."""
        write_private(self.environment, orjson.dumps(variables))

    def kept_environment(self) -> dict[str, str]:
        """What the running processes were told; empty when no `scrm up` runs here or it is another user's."""
        if not self.is_held():
            return {}
        try:
            variables: dict[str, str] = orjson.loads(self.environment.read_bytes())
        except OSError:
            return {}
        return variables


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, in one step: readers see the old one or the new one."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    fresh.replace(path)
