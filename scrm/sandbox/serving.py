"""What the server process loads: builds the sandbox from the environment its parent prepared."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scrm.sandbox.app import create_sandbox
from scrm.sandbox.config import SandboxConfig

if TYPE_CHECKING:
    from flask import Flask

CONFIG_VARIABLE = "SCRM_SANDBOX_CONFIG"
SEED_VARIABLE = "SCRM_SANDBOX_SEED"
STATE_VARIABLE = "SCRM_SANDBOX_STATE_FILE"
ADDRESS_VARIABLE = "SCRM_SANDBOX_ADDRESS"
PARENT_VARIABLE = "SCRM_SANDBOX_PARENT"
READY_LINE = "sandbox WeCom ready"
WATCH_SECONDS = 0.5
LISTEN_SECONDS = 0.01


def application() -> Flask:
    """Factory for the server."""
    config = SandboxConfig.from_bytes(os.environ.get(CONFIG_VARIABLE, "{}").encode())
    if SEED_VARIABLE in os.environ:
        config = replace(config, seed=int(os.environ[SEED_VARIABLE]))
    state_file = Path(os.environ[STATE_VARIABLE]) if STATE_VARIABLE in os.environ else None
    app = create_sandbox(config, state_file)
    if PARENT_VARIABLE in os.environ:
        _end_with_parent(int(os.environ[PARENT_VARIABLE]))
    if ADDRESS_VARIABLE in os.environ:
        _say_when_ready(os.environ[ADDRESS_VARIABLE], config.corp_id)
    return app


def _say_when_ready(address: str, corp_id: str) -> None:
    """The server listens only after this module is loaded, so a thread waits for it before it prints."""
    parts = urlsplit(address)

    def wait() -> None:
        while True:
            try:
                socket.create_connection((parts.hostname, parts.port or 0), WATCH_SECONDS).close()
            except OSError:
                time.sleep(LISTEN_SECONDS)
            else:
                sys.stdout.write(f"{READY_LINE}: {address} corp {corp_id}\n")
                sys.stdout.flush()
                return

    threading.Thread(target=wait, name="ready-line", daemon=True).start()


def _end_with_parent(parent: int) -> None:
    """A parent killed with SIGKILL cannot stop this process, so it watches and ends by itself."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(0)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
