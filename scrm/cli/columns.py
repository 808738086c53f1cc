"""`scrm columns`: the copy of events and orders in columns: what it holds, how old it is, making and removing it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tags.columns.service.shelf import Chunk

COLUMNS = ("source", "month", "rows", "bytes", "as_of", "changed")


@click.command("columns")
@click.option("--refresh", is_flag=True, help="Write everything anew that is missing or has changed, now.")
@click.option("--forget", is_flag=True, help="Remove all files: after the database was set back to a backup.")
@click.option("--check", type=click.IntRange(1), help="Compare so many parts with PostgreSQL.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def columns(refresh: bool, forget: bool, check: int | None, as_json: bool) -> None:
    """The copy in columns, from which conditions on what everybody did and bought are answered.

    It is a cache of PostgreSQL: whatever is removed is made again, and asked of PostgreSQL meanwhile.

    \b
    Example: scrm columns --check 5 --json
    """
    from scrm.cli.application import application, attached_settings
    from scrm.cli.console import print_json, print_table

    if refresh + forget + (check is not None) > 1:
        raise click.UsageError("--refresh, --forget and --check exclude each other")
    with application("columns", settings=attached_settings()).app_context():
        done = _change(refresh, forget, check)
        found = _found()
    if as_json:
        print_json({**done, "parts": found, "bytes": sum(row["bytes"] for row in found)})
    else:
        title = f"{len(found)} parts, {sum(row['bytes'] for row in found) / 1024 / 1024:.1f} MB"
        title += "".join(f"; {how}: {what}" for how, what in done.items())
        print_table(title, COLUMNS, [[_told(row, name) for name in COLUMNS] for row in found])
    if done.get("wrong") or done.get("failed"):
        raise SystemExit(1)


def _change(refresh: bool, forget: bool, check: int | None) -> dict[str, Any]:
    from tags.columns.service.refreshing import forget_files

    if forget:
        return {"forgotten": forget_files()}
    if refresh:
        written, failed = _refresh()
        return {"written": written} | ({"failed": failed} if failed else {})
    return _check(check) if check else {}


def _refresh() -> tuple[int, list[str]]:
    """Write what is due and what has changed at all, with a bar over the parts; returns how many, and what could not be."""
    from rich.console import Console
    from rich.progress import Progress

    from scrm.cli.console import log_aside
    from scrm.kernel.locks import leader
    from scrm.kernel.settings import settings
    from tags.columns import jobs

    if not settings().columns.enabled:
        raise click.ClickException("columns.enabled is false: there is to be no copy")
    console = Console(stderr=True)
    with leader(jobs.LOCK) as held, log_aside(console), Progress(console=console) as bar:
        if held is None:
            raise click.ClickException("a worker is writing the copy just now; try again in a moment")
        task = bar.add_task("writing", total=None)

        def tell(done: int, parts: int) -> None:
            bar.update(task, completed=done, total=parts)

        written, failed = jobs.write_everything(tell)
    return written, sorted(f"{source} {month:%Y-%m}" if month else str(source) for source, month in failed)


def _check(count: int) -> dict[str, Any]:
    """Which columns of so many parts, drawn at random, are wrong; ``skipped`` ones changed too much."""
    from tags.columns import jobs
    from tags.columns.service.shelf import read_copy

    copy = read_copy()
    chunks = list(copy.chunks) if copy else []
    chosen = random.sample(chunks, min(count, len(chunks)))
    found = {each.file: jobs.check(each) for each in chosen}
    return {
        "checked": sum(wrong is not None for wrong in found.values()),
        "skipped": sum(wrong is None for wrong in found.values()),
        "wrong": {file: wrong for file, wrong in found.items() if wrong},
    }


def _found() -> list[dict[str, Any]]:
    from scrm.kernel.db import transaction
    from tags.columns.queries.missed import missed
    from tags.columns.service.shelf import Source, read_copy

    copy = read_copy()
    if copy is None:
        return []
    with transaction():
        since = missed(copy.chunks)
    rows = []
    for each in (chunk for source in Source for chunk in copy.of(source)):
        changed = since.get(each.file)
        rows.append(_row(each) | {"changed": changed.persons if changed else 0})
    return rows


def _row(each: Chunk) -> dict[str, Any]:
    from tags.columns.service.shelf import folder

    path = folder() / each.file
    return {
        "source": str(each.source),
        "month": f"{each.month:%Y-%m}" if each.month else None,
        "rows": each.rows,
        "bytes": path.stat().st_size if path.exists() else 0,
        "as_of": each.as_of,
        "seconds": round(each.seconds, 2),
        "file": each.file,
    }


def _told(row: dict[str, Any], name: str) -> Any:
    if name == "as_of":
        return f"{row[name]:%Y-%m-%d %H:%M:%S}"
    return "many" if name == "changed" and row[name] is None else row[name]
