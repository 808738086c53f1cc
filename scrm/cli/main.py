"""The command line: one command a file, loaded only when asked for, so that `scrm --help` is quick."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import click

from scrm.cli.exits import PROBLEM, WRONG_USE, say_error

COMMANDS = {
    "up": ("scrm.cli.up:up", "Everything on this machine: stores, web, workers, clock, sandbox WeCom."),
    "demo": (
        "scrm.cli.demo.command:demo",
        "A finite story on throw-away stores, checked against what WeCom received.",
    ),
    "web": ("scrm.cli.web:web", "The HTTP server: callbacks, API, overview page."),
    "worker": ("scrm.cli.worker:worker", "A worker for one queue."),
    "clock": ("scrm.cli.clock:clock", "The process that turns due rows into jobs."),
    "sandbox": ("scrm.cli.sandbox:sandbox", "The simulated WeCom."),
    "migrate": ("scrm.cli.migrate:migrate", "Bring the database up to date."),
    "migration": ("scrm.cli.migration:migration", "Write the next migration from the models (developers)."),
    "doctor": ("scrm.cli.doctor.command:doctor", "Check stores, WeCom, callbacks, workers and clock."),
    "config": ("scrm.cli.config:config", "What is configured, secrets masked."),
    "signin": ("scrm.cli.signin:signin", "A fresh one-time link for the overview page."),
    "sync": ("scrm.cli.sync.command:sync", "Make ours what WeCom shows; reports, drift, what waits for you."),
    "inbox": ("scrm.cli.inbox:inbox_group", "Look at and replay received callbacks."),
    "effects": ("scrm.cli.effects:effects_group", "Look at, retry and resolve changes asked for at WeCom."),
    "limits": ("scrm.cli.limits:limits", "What WeCom's limits leave of each API."),
    "sets": ("scrm.cli.sets:sets", "Sets of customers that conditions are counted by: room, age, use."),
    "columns": (
        "scrm.cli.columns:columns",
        "The copy of events and orders in columns: parts, age, making it, checking it.",
    ),
    "codes": ("scrm.cli.codes:codes_group", "Channel codes: list, figures, export and import."),
    "import": (
        "scrm.cli.imports.command:import_group",
        "Import people, orders, products and events from CSV and XLSX; undo.",
    ),
    "losses": ("scrm.cli.losses:losses", "Customers lost of late, by member, and open alarms."),
    "transfers": (
        "scrm.cli.transfers:transfers_group",
        "Who hands over whom, and who is looked after by nobody.",
    ),
    "webhooks": (
        "scrm.cli.webhooks:webhooks_group",
        "Events that go out: endpoints, deliveries, sending them again.",
    ),
    "partitions": (
        "scrm.cli.partitions:partitions_group",
        "Months of the large tables: list, detach, attach.",
    ),
    "apikey": ("scrm.cli.apikey:apikey", "Create, list and revoke API keys."),
    "generate": (
        "scrm.cli.company_data.command:generate",
        "A company's worth of data for trying out and measuring.",
    ),
    "company": (
        "scrm.cli.company.command:company",
        "A gentle life of the simulated company (scrm up starts it).",
    ),
}


class LazyGroup(click.Group):
    """A group that imports a command's module only to run it or to show its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, short) for name, (_, short) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="wecom-scrm", prog_name="scrm")
def program() -> None:
    """A company's own backend for looking after its customers in Enterprise WeChat.

    Settings come from the environment (SCRM_*), the file named by SCRM_CONFIG, and config/default.toml.
    Exit codes: 0 well, 1 a problem was found, 2 wrong configuration or use.

    \b
    Example: scrm up
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every expected error becomes one sentence on stderr and an exit code."""
    sys.exit(run(program, arguments))


def run(command: Callable[..., Any] | click.Command, arguments: list[str] | None = None) -> int:
    """Run a click command and give its exit code instead of leaving the process."""
    assert isinstance(command, click.Command)  # noqa: S101  # narrows the type
    try:
        answer = command.main(args=arguments, prog_name="scrm", standalone_mode=False)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.Abort:
        return PROBLEM
    except click.ClickException as error:
        error.show()
        return WRONG_USE
    except Exception as error:
        code = say_error(error)
        if code is None:
            raise
        return code
    return answer if isinstance(answer, int) else 0
