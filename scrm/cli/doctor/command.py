"""`scrm doctor`: is everything as it should be, and if not, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from scrm.cli.exits import PROBLEM, WELL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.settings import Settings
    from scrm.cli.doctor.finding import Finding


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def doctor(as_json: bool) -> int:
    """Check stores, schema, WeCom tokens, callback addresses, clock, workers and queues.

    Every failed line says what is wrong and the way out. Exit code 1 if any fails.

    \b
    Example: scrm doctor --json
    """
    from dataclasses import asdict

    from config.logging import configure_logging
    from scrm.bootstrap import create_app
    from scrm.cli.application import attached_settings
    from scrm.cli.console import print_json

    settings = attached_settings()
    app = create_app(settings, serves=False)
    configure_logging(settings.log.model_copy(update={"level": "ERROR"}), "doctor")
    with app.app_context():
        found = list(_examine(settings))
    if as_json:
        print_json({"well": all(one.well for one in found), "findings": [asdict(one) for one in found]})
    else:
        _show(found)
    return WELL if all(one.well for one in found) else PROBLEM


def _examine(settings: Settings) -> Iterator[Finding]:
    """All checks that make sense: without a store nothing that needs it is asked."""
    from scrm.cli.doctor import clocks, copies, permissions, processes, quotas, stores, wecom

    yield stores.program()

    database, redis = stores.postgres(), stores.valkey()
    yield database
    yield redis
    if database.well:
        schema = stores.schema()
        yield schema
        yield clocks.clock_of_database()
        if schema.well:
            yield processes.inbox()
            yield processes.effects()
            yield quotas.parked_effects()
            yield quotas.circuits()
            yield quotas.contact_ways()
            yield copies.columns()
            yield from quotas.last_callbacks(list(settings.apps))
    if redis.well:
        yield processes.clock()
        yield from processes.workers()
        yield from processes.queues()
        tokens = wecom.tokens(settings)
        yield from tokens
        if all(one.well for one in tokens):
            yield from permissions.permissions(settings)
            if database.well and schema.well:
                yield from permissions.hidden_members(settings)
    if settings.apps:
        yield clocks.clock_of_wecom(settings)
    yield quotas.media()
    yield from wecom.callbacks(settings)


def _show(found: list[Finding]) -> None:
    from rich.text import Text

    from scrm.cli.console import print_table

    signs = {True: Text("well", "green"), False: Text("FAILS", "bold red")}
    rows = [(signs[one.well], one.check, one.detail, _way_out(one)) for one in found]
    print_table("scrm doctor", ("", "check", "found", "way out"), rows)


def _way_out(one: Finding) -> str:
    return f"{one.way_out}\n→ {one.page}" if one.page else one.way_out
