"""`scrm web`: the HTTP server."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path

    from flask import Flask

STOP_SECONDS = 10  # requests still running then are cut; a callback's answer is due after 5 at the latest
LOGGERS = {
    # granian's own lines join ours on stderr instead of going to stdout in another format
    "_granian": {"handlers": [], "level": "INFO", "propagate": True},
    "granian.access": {"handlers": [], "level": "INFO", "propagate": True},
}


@click.command()
@click.option("--host", help="Address to listen on; default: web.host.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on; default: web.port.")
def web(host: str | None, port: int | None) -> None:
    """Serve callbacks, the API and the overview page until SIGTERM or Ctrl-C.

    On SIGTERM it accepts nothing new and answers what it has accepted.

    \b
    Example: scrm web --port 8700
    """
    from config.settings import current_settings
    from scrm.cli.application import application
    from scrm.cli.ports import check_free

    settings = current_settings()
    host, port = host or settings.web.host, port or settings.web.port
    share_counters(settings.var_dir / f"metrics-{port}")
    let_go(application("web", serves=True))  # before anything starts: settings and stores are right
    check_free(host, port, "give another with --port or SCRM_WEB__PORT")
    _serve(host, port)


def share_counters(folder: Path) -> None:
    """Let the server processes count into files of one folder, or /metrics would show only the one that answers.

    Must run before the application is imported. `scrm up` names a folder for all its processes instead.
    """
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


def let_go(app: Flask) -> None:
    """Close this process's connections: server processes are forked and must not inherit them."""
    from scrm.kernel.db import db
    from scrm.kernel.redis import redis

    with app.app_context():
        db.engine.dispose()
        redis().close()


def _serve(host: str, port: int) -> None:
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces

    from config.settings import current_settings

    web = current_settings().web
    server = Granian(
        "scrm",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=web.workers,
        blocking_threads=web.threads,
        http=HTTPModes.http1,
        log_dictconfig={"loggers": LOGGERS},
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
    )
    server.serve(target_loader=load_app, wrap_loader=False)


def load_app() -> Flask:
    """Runs in each server process: an app of its own, and an end when the parent has ended."""
    from scrm.cli.application import application
    from scrm.cli.parent_death import end_with_parent

    end_with_parent()
    return application("web", serves=True)
