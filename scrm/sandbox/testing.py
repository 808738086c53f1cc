"""Starts the sandbox as a process of its own for tests and demos, and stops it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson
import requests

from scrm.sandbox.control import SandboxControl
from scrm.sandbox.defaults import (
    DEFAULT_AES_KEY,
    DEFAULT_AGENT_ID,
    DEFAULT_APP_SECRET,
    DEFAULT_CALLBACK_TOKEN,
    DEFAULT_CORP_ID,
)
from scrm.sandbox.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 60.0  # on a machine busy with other things; usually one
STOP_SECONDS = 5.0


@dataclass(slots=True)
class RunningSandbox:
    """A started sandbox: its address, its control client and the default app's constants."""

    base_url: str
    control: SandboxControl
    process: subprocess.Popen[bytes]
    command: list[str]
    keeps_state: bool
    corp_id: str = DEFAULT_CORP_ID
    agentid: int = DEFAULT_AGENT_ID
    secret: str = DEFAULT_APP_SECRET
    token: str = DEFAULT_CALLBACK_TOKEN
    aes_key: str = DEFAULT_AES_KEY


@contextmanager
def running_sandbox(
    config: dict[str, Any] | None = None,
    seed: int = 7,
    port: int | None = None,
    state_file: Path | None = None,
) -> Iterator[RunningSandbox]:
    """Start on `port` (a free one by default), yield when it answers, stop it at the end.

    RuntimeError with its output when it does not start within a minute.
    """
    chosen = port or free_port()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sandbox.json"
        path.write_bytes(orjson.dumps(config or {}))
        command = [sys.executable, "-m", "scrm.sandbox", "--port", str(chosen), "--config", str(path)]
        command += ["--seed", str(seed)]
        if state_file is not None:
            command += ["--state-file", str(state_file)]
        with (Path(folder) / "output").open("w+b") as output:
            process = _start(command, output)
            base_url = f"http://127.0.0.1:{chosen}"
            running = RunningSandbox(
                base_url, SandboxControl(base_url), process, command, keeps_state=state_file is not None
            )
            try:
                _wait_until_ready(running.control, process, Path(folder) / "output")
                yield running
            finally:
                running.control.close()
                stop(running.process)


@contextmanager
def offline(running: RunningSandbox) -> Iterator[None]:
    """Nobody listens inside the block: every call is refused a connection. Afterwards the corp is as it was.

    Callback addresses, limits and the clock are kept; tokens, log and faults are not. ValueError when the sandbox
    was started without a state file, since it would forget the corp.
    """
    if not running.keeps_state:
        raise ValueError("give running_sandbox a state_file: without one the corp would be forgotten")
    before = running.control.overview()
    stop(running.process)
    try:
        yield
    finally:
        with tempfile.NamedTemporaryFile() as output:
            running.process = _start(running.command, output)
            _wait_until_ready(running.control, running.process, Path(output.name))
        running.control.set_limits(**before["limits"])
        for app in before["apps"]:
            running.control.set_callback(app["callback_url"], app["name"], verify=False)


def _start(command: list[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, stdout=output, stderr=subprocess.STDOUT, env=dict(os.environ, PYTHONUNBUFFERED="1")
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL when that is not enough."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until_ready(control: SandboxControl, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            control.overview()
        except requests.ConnectionError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"the sandbox did not start: {output.read_text(errors='replace')[-2000:]}")
