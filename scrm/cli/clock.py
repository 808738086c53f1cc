"""`scrm clock`: the process that turns due rows into jobs."""

from __future__ import annotations

import click


@click.command()
def clock() -> None:
    """Wake jobs that have work, until SIGTERM or Ctrl-C. Start as many as you like: one leads, the others wait.

    \b
    Example: scrm clock
    """
    from scrm.cli.application import application

    app = application("clock")
    from config.schedule import SCHEDULE
    from scrm.cli.stopping import stop_event
    from scrm.kernel.scheduler import Scheduler

    Scheduler(app, SCHEDULE).run(stop_event())
