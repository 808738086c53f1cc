"""`scrm partitions`: months of the large tables; old ones are detached, and attached again when they are needed."""

from __future__ import annotations

import time
from datetime import date, datetime
from typing import Any

import click

from scrm.cli.exits import Problem

COLUMNS = ("table", "month", "state", "rows", "bytes")
TRIES = 5
PAUSE_SECONDS = 1.0


class MonthParam(click.ParamType[date]):
    """A month as ``2024-01``; its first day."""

    name = "YYYY-MM"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """The first day of the month; fails for what is none."""
        try:
            return datetime.strptime(value, "%Y-%m").date()  # noqa: DTZ007  # a day has no zone
        except ValueError:
            self.fail("must be a month such as 2024-01", param, ctx)


TABLES = click.option("--table", "tables", multiple=True, help="Only this table (may be repeated).")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


@click.group("partitions")
def partitions_group() -> None:
    """Months of behaviour events and of timelines.

    A detached month is a plain table that nothing reads any more: dump it (pg_dump -t NAME), then drop it.

    \b
    Example: scrm partitions detach --before 2024-01
    """


@partitions_group.command("list")
@TABLES
@JSON
def list_months(tables: tuple[str, ...], as_json: bool) -> None:
    """Every month, with its size; rows are PostgreSQL's estimate.

    \b
    Example: scrm partitions list --table timeline --json
    """
    with _app():
        shown = [_row(one) for one in _months(tables)]
    _show("months", shown, as_json)


@partitions_group.command("detach")
@click.option("--before", type=MonthParam(), required=True, help="Months before this one.")
@click.option("--dry-run", is_flag=True, help="Say which, and do nothing.")
@TABLES
@JSON
def detach(before: date, dry_run: bool, tables: tuple[str, ...], as_json: bool) -> None:
    """Take old months out of their tables; what they hold counts no more, in counts, traits and conditions.

    \b
    Example: scrm partitions detach --before 2024-01 --dry-run
    """
    from scrm.kernel.detaching import newest_detachable

    with _app():
        if before > newest_detachable():
            raise click.UsageError(f"--before must be {newest_detachable():%Y-%m} at the latest")
        chosen = [one for one in _months(tables) if one.attached and one.month < before]
        if not dry_run:
            _settle()
            for one in chosen:
                _detach(one)
    _show("months to detach" if dry_run else "months detached", [_row(one) for one in chosen], as_json)


@partitions_group.command("attach")
@click.argument("month", type=MonthParam())
@TABLES
@JSON
def attach(month: date, tables: tuple[str, ...], as_json: bool) -> None:
    """Put a detached month back into its tables.

    \b
    Example: scrm partitions attach 2023-11
    """
    with _app():
        _settle()
        chosen = [one for one in _months(tables) if one.month == month and not one.attached]
        for one in chosen:
            _attach(one)
    if not chosen:
        raise Problem(f"no month {month:%Y-%m} is detached; `scrm partitions list` shows those that are")
    _show("months attached", [_row(one) for one in chosen], as_json)


def _app() -> Any:
    from scrm.cli.application import application, attached_settings

    return application("partitions", settings=attached_settings()).app_context()


def _months(tables: tuple[str, ...]) -> list[Any]:
    from scrm.kernel.detaching import months_of
    from scrm.kernel.partitions import detachable_tables

    known = detachable_tables()
    if strangers := set(tables) - set(known):
        raise click.UsageError(f"--table {min(strangers)}: must be one of {', '.join(known)}")
    return [one for table in tables or known for one in months_of(table)]


def _detach(one: Any) -> None:
    from scrm.kernel.db import transaction
    from scrm.kernel.detaching import detach_month
    from scrm.kernel.errors import Conflict

    for attempt in range(1, TRIES + 1):
        try:
            with transaction():
                detach_month(one.table, one.month)
            break
        except Conflict:
            if attempt == TRIES:
                raise
            time.sleep(PAUSE_SECONDS)
    _settle()


def _settle() -> None:
    """Put figures right beside months that were detached; also those that an earlier run left, dropped since or not."""
    from scrm.behaviour.models import BehaviourEvent
    from scrm.kernel.db import session, transaction
    from scrm.kernel.detaching import note_settled, unsettled_months

    waiting = unsettled_months()
    session().rollback()
    for table, month in waiting:
        with transaction():
            if table == BehaviourEvent.__tablename__:
                _uncount(month)
            note_settled(table, month)


def _uncount(month: date) -> None:
    from scrm.behaviour.models import BehaviourEvent
    from scrm.behaviour.service.counting import recount_month, uncount_month
    from scrm.kernel.detaching import month_edges, months_of

    [found] = [one for one in months_of(BehaviourEvent.__tablename__) if one.month == month]
    if found.rows is None:
        recount_month(*month_edges(month))
    else:
        uncount_month(found.name)


def _attach(one: Any) -> None:
    from scrm.behaviour.models import BehaviourEvent
    from scrm.behaviour.service.counting import count_month
    from scrm.kernel.db import transaction
    from scrm.kernel.detaching import attach_month

    with transaction():
        attach_month(one.table, one.month)
        if one.table == BehaviourEvent.__tablename__:
            count_month(one.name)


def _row(one: Any) -> dict[str, Any]:
    state = "attached" if one.attached else "detached" if one.rows is not None else "dropped"
    return {
        "table": one.table, "month": f"{one.month:%Y-%m}", "state": state, "rows": one.rows, "bytes": one.bytes,
        "name": one.name,
    }  # fmt: skip


def _show(what: str, rows: list[dict[str, Any]], as_json: bool) -> None:
    from scrm.cli.console import print_json, print_table

    if as_json:
        print_json(rows)
    else:
        print_table(f"{len(rows)} {what}", COLUMNS, [[row[name] for name in COLUMNS] for row in rows])
