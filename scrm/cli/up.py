"""`scrm up`: everything on this machine, in one command."""

from __future__ import annotations

import click


@click.command()
@click.option(
    "--port-base", type=click.IntRange(1, 65000), help="Web on this port, the sandbox on the next one."
)
@click.option("--quiet-company", is_flag=True, help="The simulated people do nothing of their own accord.")
def up(port_base: int | None, quiet_company: bool) -> None:
    """Start stores, web, one worker per queue, the clock and a simulated WeCom; stop them with Ctrl-C.

    PostgreSQL and Valkey run under var/ unless SCRM_DATABASE_URL and SCRM_REDIS_URL say otherwise; the simulated
    WeCom runs unless corp.id names a real one. What dies is started again. Logs are in var/log/.

    \b
    Example: scrm up --port-base 9000
    """
    from config.settings import current_settings
    from scrm.cli.supervision.deployment import Deployment

    Deployment(current_settings(), port_base, company=not quiet_company).run()
