"""`scrm up`: everything on this machine, in one command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from scrm.cli.supervision.deployment import Deployment
    from scrm.cli.supervision.screen import Screen


@click.command()
@click.option(
    "--port-base", type=click.IntRange(1, 65000), help="Web on this port, the sandbox on the next one."
)
@click.option("--quiet-company", is_flag=True, help="The simulated people do nothing of their own accord.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the addresses as JSON, everything else on stderr."
)
def up(port_base: int | None, quiet_company: bool, as_json: bool) -> None:
    """Start stores, web, one worker per queue, the clock and a simulated WeCom; stop them with Ctrl-C.

    PostgreSQL and Valkey run under var/ unless SCRM_DATABASE_URL and SCRM_REDIS_URL say otherwise; the simulated
    WeCom runs unless corp.id names a real one. What dies is started again. Logs are in var/log/.

    \b
    Example: scrm up --port-base 9000
    """
    from config.settings import current_settings

    settings = current_settings()  # first: what is wrong there is said without loading everything

    from scrm.cli.stopping import Stopping
    from scrm.cli.supervision.deployment import Deployment, Wishes
    from scrm.cli.supervision.leftovers import end_leftovers
    from scrm.cli.supervision.screen import PatientConsole, Screen

    port = port_base or settings.web.port
    screen, stopping = Screen(PatientConsole(stderr=as_json)), Stopping()
    wishes = Wishes(port, port + 1, company=not quiet_company)
    deployment = Deployment(settings, wishes, screen.say, stopping.asked)
    with deployment.folder.held():
        stopping.listen()
        end_leftovers(deployment.folder, screen.say)
        deployment.check_ports()
        try:
            _start_and_watch(deployment, screen, as_json)
        finally:
            screen.say("stopping …")
            deployment.end(stopping.hurry)
            screen.say("stopped")


def _start_and_watch(deployment: Deployment, screen: Screen, as_json: bool) -> None:
    import time

    from scrm.cli.console import print_json
    from scrm.cli.signin import signin_link

    started = time.monotonic()
    with screen.steps() as done:
        deployment.start(done)
    if deployment.stop.is_set():
        return
    link = signin_link(deployment.app, deployment.web_url)
    if as_json:
        print_json({**_addresses(deployment), "sign_in": link})
    else:
        screen.addresses(_addresses(deployment), time.monotonic() - started)
        screen.link("sign in to the overview (works once, within 12 hours):", link)
    deployment.supervisor.watch()


def _addresses(deployment: Deployment) -> dict[str, str]:
    settings, web = deployment.settings, deployment.web_url
    return {
        "overview": web,
        "API documentation": f"{web}/api/v1/docs",
        "callbacks": f"{settings.web.public_url or web}/wecom/callbacks/<app>",
        "simulated WeCom": deployment.sandbox_url if settings.sandboxed else "",
        "logs": str(deployment.folder.logs),
        "an API key": "scrm apikey create NAME --scope '*'",
        "check-up": "scrm doctor",
    }
