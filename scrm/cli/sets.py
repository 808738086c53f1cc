"""`scrm sets`: the sets of customers that Redis holds, what room they take, how old and how used they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tags.sets.service.store import Shelved

COLUMNS = ("leaf", "customers", "bytes", "age", "hits", "used")

SLICE = 20  # sets of one transaction


@click.command("sets")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many to list.")
@click.option(
    "--warm", is_flag=True, help="Ask for those that most questions need, as workers do by themselves."
)
@click.option("--rebuild", is_flag=True, help="Ask PostgreSQL for all of them anew.")
@click.option("--forget", is_flag=True, help="Drop all: after the database was set back to a backup.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def sets(limit: int, warm: bool, rebuild: bool, forget: bool, as_json: bool) -> None:
    """Sets of customers by which conditions are counted, most recently used first, those that nobody asked for yet last.

    They are a cache: whatever is dropped is asked again when it is needed.

    \b
    Example: scrm sets --rebuild --json
    """
    from scrm.cli.application import application, attached_settings
    from scrm.cli.console import print_json, print_table

    if warm + rebuild + forget > 1:
        raise click.UsageError("--warm, --rebuild and --forget exclude each other")
    with application("sets", settings=attached_settings()).app_context():
        done = _forget() if forget else _rebuild() if rebuild else _warm() if warm else {}
        found = _found()
    if as_json:
        print_json({**done, "sets": found[:limit], "bytes": sum(row["bytes"] for row in found)})
        return
    total = sum(row["bytes"] for row in found)
    title = f"{len(found)} sets, {total / 1024 / 1024:.1f} MB" + "".join(
        f", {n} {how}" for how, n in done.items()
    )
    print_table(title, COLUMNS, [[_told(row, name) for name in COLUMNS] for row in found[:limit]])


def _forget() -> dict[str, int]:
    from scrm.kernel.db import transaction
    from tags.sets.service import backing, store

    keys = [each.digest for each in store.shelved()]
    with transaction():
        backing.forget()
    store.forget(keys)
    return {"forgotten": len(keys)}


def _rebuild() -> dict[str, int]:
    from tags.sets.service import store, upkeep

    return {"rebuilt": _in_slices([each.key for each in store.shelved()], upkeep.ask)}


def _warm() -> dict[str, int]:
    from scrm.kernel.db import transaction
    from tags.sets.service import upkeep

    with transaction():
        keys = upkeep.base_keys()
    return {"warmed": _in_slices(keys, upkeep.warm)}


def _in_slices(keys: Sequence[str], work: Callable[[Sequence[str]], None]) -> int:
    from scrm.kernel.db import transaction

    for begin in range(0, len(keys), SLICE):
        with transaction():
            work(keys[begin : begin + SLICE])
    return len(keys)


def _found() -> list[dict[str, Any]]:
    from tags.sets.service import store

    return [_row(each) for each in sorted(store.shelved(), key=lambda each: each.hits == 0)]


def _row(each: Shelved) -> dict[str, Any]:
    from scrm.kernel.clock import utcnow

    now = utcnow()
    return {
        "leaf": each.key,
        "customers": each.customers,
        "bytes": each.bytes,
        "hits": each.hits,
        "as_of": each.as_of,
        "age": round((now - each.as_of).total_seconds(), 1),
        "used": round((now - each.used_at).total_seconds(), 1),
    }


def _told(row: dict[str, Any], name: str) -> Any:
    return f"{row[name]:.0f} s" if name in ("age", "used") else row[name]
