"""`scrm demo`: a finite story on throw-away stores and free ports, checked against what WeCom received."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from scrm.cli.exits import PROBLEM, WELL

if TYPE_CHECKING:
    from config.settings import Settings
    from scrm.cli.demo.outcome import Outcome
    from scrm.cli.supervision.screen import Screen


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON, progress on stderr.")
@click.option(
    "--people", type=click.IntRange(20, 2000), default=200, show_default=True, help="Customers who add."
)
def demo(as_json: bool, people: int) -> int:
    """Play a day of a simulated company in under a minute, and compare it with the sandbox's log.

    5 staff, 3 channel codes, 200 people who scan them, 2 groups, messages, rules, automatic replies, one broadcast to
    customers and one to groups. Your own configuration and stores are not touched. Exit code 0 only if all is right.

    \b
    Example: scrm demo --json
    """

    from scrm.cli.demo.outcome import show
    from scrm.cli.supervision.screen import PatientConsole, Screen

    screen = Screen(PatientConsole(stderr=as_json))
    outcome = _play(screen, people)
    show(outcome, as_json)
    return WELL if outcome.well else PROBLEM


def _play(screen: Screen, people: int) -> Outcome:
    import tempfile
    import time
    from pathlib import Path

    from scrm.cli.demo.story import tell
    from scrm.cli.stopping import Stopping
    from scrm.cli.supervision.deployment import Deployment, Wishes
    from scrm.sandbox.ports import free_port

    started, stopping = time.monotonic(), Stopping()
    with tempfile.TemporaryDirectory(prefix="scrm-demo-", ignore_cleanup_errors=True) as folder:
        port = free_port(together=2)
        wishes = Wishes(
            port,
            port + 1,
            company=False,
            durable=False,
            people={"members": 5, "departments": 2, "tag_groups": 0, "kf_accounts": 1},
        )
        deployment = Deployment(_settings(Path(folder)), wishes, screen.say, stopping.asked)
        with deployment.folder.held():
            stopping.listen()
            try:
                with screen.steps() as done:
                    deployment.start(done)
                return tell(deployment, screen, people, started)
            finally:
                deployment.end(stopping.hurry)


def _settings(folder: object) -> Settings:
    """Settings of a deployment of its own: whatever is configured for the real one is left out."""
    import os

    from config.settings import load_settings

    for name in [name for name in os.environ if name.startswith("SCRM_")]:
        del os.environ[name]
    os.environ["SCRM_BROADCASTS__POLL_SECONDS"] = "1"  # results within the minute
    os.environ["SCRM_LOG__LEVEL"] = "WARNING"
    os.environ["SCRM_VAR_DIR"] = str(folder)
    return load_settings()
