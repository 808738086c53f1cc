"""`python -m scrm.sandbox`: the simulated WeCom as a program of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from granian import Granian
from granian.constants import HTTPModes, Interfaces

from scrm.sandbox.config import ConfigError, SandboxConfig
from scrm.sandbox.defaults import DEFAULT_HOST, DEFAULT_PORT
from scrm.sandbox.serving import CONFIG_VARIABLE, PARENT_VARIABLE, SEED_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCKING_THREADS = 64  # each hanging call (a fault) holds one
STOP_SECONDS = 1  # calls still hanging then are cut


@click.command()
@click.option("--host", default=DEFAULT_HOST, show_default=True, help="Address to listen on.")
@click.option("--port", default=DEFAULT_PORT, show_default=True, help="Port to listen on.")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="Configuration file (JSON).")
@click.option("--seed", type=int, help="Seed of ids and population; overrides the configuration.")
def main(host: str, port: int, config_path: Path | None, seed: int | None) -> None:
    """Serve the simulated WeCom until SIGTERM or Ctrl-C.

    Example: python -m scrm.sandbox --port 8701 --seed 7
    """
    try:
        data = config_path.read_bytes() if config_path else b"{}"
        SandboxConfig.from_bytes(data)
    except (OSError, ConfigError) as error:
        click.echo(f"sandbox: {error}", err=True)
        sys.exit(2)
    os.environ[CONFIG_VARIABLE] = data.decode()
    os.environ[PARENT_VARIABLE] = str(os.getpid())
    if seed is not None:
        os.environ[SEED_VARIABLE] = str(seed)
    _serve(host, port)


def _serve(host: str, port: int) -> None:
    server = Granian(
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
    server.serve()


def run(argv: Sequence[str] | None = None) -> None:
    """Same as the command, with arguments given in code."""
    main.main(args=list(argv) if argv is not None else None, prog_name="scrm.sandbox")


if __name__ == "__main__":
    run()
