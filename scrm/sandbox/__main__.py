"""`python -m scrm.sandbox`: the simulated WeCom as a program of its own."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import requests
from granian.constants import HTTPModes, Interfaces
from granian.server.mp import MPServer

from scrm.sandbox import state_file
from scrm.sandbox.config import ConfigError, SandboxConfig
from scrm.sandbox.control import SandboxControl, SandboxControlError
from scrm.sandbox.defaults import DEFAULT_HOST, DEFAULT_PORT
from scrm.sandbox.serving import (
    ADDRESS_VARIABLE,
    CONFIG_VARIABLE,
    PARENT_VARIABLE,
    SEED_VARIABLE,
    STATE_VARIABLE,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCKING_THREADS = 64  # each hanging call (a fault) holds one
STOP_SECONDS = 1  # calls still hanging then are cut
BAD_USE = 2


@click.command()
@click.option("--host", default=DEFAULT_HOST, show_default=True, help="Address to listen on.")
@click.option("--port", default=DEFAULT_PORT, show_default=True, help="Port to listen on.")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="Configuration file (JSON).")
@click.option("--seed", type=int, help="Seed of ids and population; overrides the configuration.")
@click.option(
    "--state-file", "state_path", type=click.Path(path_type=Path), help="Keep the corp here over a restart."
)
def command(
    host: str, port: int, config_path: Path | None, seed: int | None, state_path: Path | None
) -> None:
    """Serve the simulated WeCom until SIGTERM or Ctrl-C.

    Example: python -m scrm.sandbox --port 8701 --seed 7
    """
    try:
        data = config_path.read_bytes() if config_path else b"{}"
        SandboxConfig.from_bytes(data)
        if state_path is not None:
            state_file.check(state_path)
        _check_port(host, port)
    except (OSError, ConfigError) as error:
        click.echo(f"sandbox: {error}", err=True)
        sys.exit(BAD_USE)
    address = f"http://{host}:{port}"
    os.environ |= {
        CONFIG_VARIABLE: data.decode(),
        PARENT_VARIABLE: str(os.getpid()),
        ADDRESS_VARIABLE: address,
    }
    if seed is not None:
        os.environ[SEED_VARIABLE] = str(seed)
    if state_path is not None:
        os.environ[STATE_VARIABLE] = str(state_path.absolute())
    _serve(host, port, address if state_path is not None else None)


class _Server(MPServer):
    """Granian that writes the state file before it stops its worker."""

    save_through: str | None = None

    def shutdown(self, exit_code: int = 0) -> None:
        """Save, then stop as usual; a sandbox that cannot answer any more must still stop."""
        if self.save_through is not None:
            try:
                SandboxControl(self.save_through).snapshot()
            except (requests.RequestException, SandboxControlError) as error:
                click.echo(f"sandbox: the state file was not written: {error}", err=True)
        super().shutdown(exit_code)  # type: ignore[no-untyped-call]


def _serve(host: str, port: int, save_through: str | None) -> None:
    server = _Server(
        "scrm.sandbox.serving:application",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=1,  # the state lives in this one process
        blocking_threads=BLOCKING_THREADS,
        http=HTTPModes.http1,
        log_enabled=False,
        workers_kill_timeout=STOP_SECONDS,
        factory=True,
    )
    server.save_through = save_through
    server.serve()


def _check_port(host: str, port: int) -> None:
    """Granian shares a port with another of its kind, so two sandboxes would answer in turn: refuse here."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"port {port} is taken or not allowed ({error.strerror}); give another --port"
            ) from error


def main(argv: Sequence[str] | None = None) -> None:
    """The command with arguments given in code (None: those of the process)."""
    command.main(args=list(argv) if argv is not None else None, prog_name="scrm.sandbox")


if __name__ == "__main__":
    main()
