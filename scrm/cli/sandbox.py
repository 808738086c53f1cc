"""`scrm sandbox`: the simulated WeCom."""

from __future__ import annotations

from pathlib import Path

import click

from scrm.sandbox.defaults import DEFAULT_HOST, DEFAULT_PORT


@click.command()
@click.option("--host", default=DEFAULT_HOST, show_default=True, help="Address to listen on.")
@click.option("--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(1, 65535), help="Port.")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="Configuration file (JSON).")
@click.option("--seed", type=int, help="Seed of ids and population; overrides the configuration.")
@click.option(
    "--state-file", "state_path", type=click.Path(path_type=Path), help="Keep the corp over a restart."
)
def sandbox(
    host: str, port: int, config_path: Path | None, seed: int | None, state_path: Path | None
) -> None:
    """Serve a WeCom that behaves like the real one, until SIGTERM or Ctrl-C.

    \b
    Example: scrm sandbox --port 8701 --seed 7
    """
    from scrm.cli.ports import check_free
    from scrm.sandbox.__main__ import main

    check_free(host, port, "give another with --port")
    arguments = ["--host", host, "--port", str(port)]
    arguments += ["--config", str(config_path)] if config_path else []
    arguments += ["--state-file", str(state_path)] if state_path else []
    arguments += ["--seed", str(seed)] if seed is not None else []
    main(arguments)
