"""Carrying an import out here, step by step, with a bar that says how far it is; workers may help."""

from __future__ import annotations

import getpass
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import orjson
from marshmallow import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from scrm.cli.console import log_aside, print_json, print_table
from scrm.cli.exits import PROBLEM, WELL, Problem
from scrm.imports import queries
from scrm.imports.jobs import step
from scrm.imports.models import Import
from scrm.imports.schemas import MappingIn
from scrm.imports.service import states, uploading
from scrm.imports.service.suggesting import suggest
from scrm.imports.service.targets.registry import target_of
from scrm.kernel.db import session, transaction
from scrm.kernel.permissions import Actor, Permission, Scope
from scrm.kernel.sheets.writing import write_csv, write_xlsx

ASK_SECONDS = 0.2
SHOWN = 20
WORDS = {
    "reading": "读取 reading",
    "checking": "试运行 dry run",
    "running": "写入 writing",
    "undoing": "撤销 undoing",
}


@dataclass(frozen=True)
class Wanted:
    """What was asked for on the command line."""

    mapping: Path | None = None
    source: str | None = None
    sheet: str | None = None
    dry_run: bool = False
    yes: bool = False
    confirm: str | None = None
    errors: Path | None = None
    quiet: bool = False


def carry_out(target: str, file: Path, wanted: Wanted) -> int:
    """Upload, map, try, ask, write, and say what came of it; 1 when rows are wrong or nobody said yes."""
    given = _read(wanted.mapping) if wanted.mapping is not None else {}
    import_id = _upload(target, file, wanted)
    mapping = _mapping(import_id, given, wanted.source)
    with transaction():
        states.set_mapping(_locked(import_id), mapping, _who())
    with transaction():
        states.start_trial(_locked(import_id))
    made = _follow(import_id, quiet=wanted.quiet)
    _check_ended(made, "checked")
    if not wanted.quiet:
        _show(made, mapping)
    if wanted.dry_run or (not wanted.yes and not wanted.quiet and not _said_yes(made)):
        return _end(made, wanted, made.tally)
    if not wanted.yes and wanted.quiet:
        raise Problem(f"import {import_id} waits for a yes: say --yes, or --dry-run to look only")
    with transaction():
        states.start_run(_locked(import_id), wanted.confirm)
    made = _follow(import_id, quiet=wanted.quiet)
    _check_ended(made, "done")
    return _end(made, wanted, made.done)


def give_back(import_id: int, *, dry_run: bool, quiet: bool) -> dict[str, Any]:
    """Undo an import, or look what an undo would do; what was given back and what was left."""
    with transaction():
        states.start_undo(_locked(import_id), dry_run=dry_run)
    return dict(_follow(import_id, quiet=quiet).undo)


def _who() -> Actor:
    return Actor(f"cli:{getpass.getuser()}", frozenset(Permission), Scope.all())


def _locked(import_id: int) -> Import:
    return states.locked_import(import_id, _who())


def _upload(target: str, file: Path, wanted: Wanted) -> int:
    with file.open("rb") as content, transaction():
        upload = uploading.Upload(target, file.name, content, sheet=wanted.sheet)
        import_id = uploading.keep_upload(upload, _who().name).id
    made = _follow(import_id, quiet=wanted.quiet)
    _check_ended(made, "ready")
    same = queries.same_file(made)
    if same is not None:
        click.echo(f"import {same} was of the very same file; what is there already stays as it is", err=True)
    return import_id


def _mapping(import_id: int, given: dict[str, Any], source: str | None) -> dict[str, Any]:
    """The mapping that was given, or what the columns look like."""
    made = queries.import_by_id(import_id)
    if not given.get("columns"):
        columns = suggest(target_of(made.target), made.columns, given.get("constants", {}))
        given = given | {"columns": columns}
    return given | {"source": source or given.get("source") or "import"}


def _read(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = MappingIn(exclude=["template_id"]).loads(file.read_text("utf-8"))
    except (orjson.JSONDecodeError, ValueError) as error:
        told = error.messages if isinstance(error, ValidationError) else error
        raise Problem(f"{file} is no mapping: {told}; docs/imports.md shows one") from None
    return found


def _follow(import_id: int, *, quiet: bool) -> Import:
    """Work on an import until it rests."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    console = Console(stderr=True, quiet=quiet)
    with log_aside(console), Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=None, rate="")
        while True:
            moved = step(import_id)
            made = queries.import_by_id(import_id)
            seen, word = queries.progress(made), WORDS.get(made.state.value)
            session().rollback()  # nothing is open while we wait
            rate = f"{seen['rows_per_second']:,.0f} rows/s" if seen["rows_per_second"] else ""
            bar.update(task, total=seen["total"] or None, completed=seen["done"], rate=rate)
            if word is None:
                return made
            bar.update(task, description=word)
            if not moved:
                time.sleep(ASK_SECONDS)


def _check_ended(made: Import, state: str) -> None:
    if made.state.value != state:
        raise Problem(f"import {made.id} is {made.state}: {made.error or 'somebody stopped it'}")


def _show(made: Import, mapping: dict[str, Any]) -> None:
    """The mapping, what would happen, and the first rows that are wrong."""
    print_table("columns", ("column", "becomes"), [(one["column"], one["to"]) for one in mapping["columns"]])
    print_table("dry run", queries.KINDS, [[made.tally.get(kind, 0) for kind in queries.KINDS]])
    wrong = [
        (one["row"], column, problem)
        for one in queries.sample_rows(made, "error")[:SHOWN]
        for column, problem in one["problems"].items()
    ]
    if wrong:
        print_table("what is wrong (first rows)", ("row", "column", "problem"), wrong)


def _said_yes(made: Import) -> bool:
    right = sum(made.tally.get(kind, 0) for kind in ("new", "changed"))
    return click.confirm(f"{right} rows would be written; go on?", default=False, err=True)


def _end(made: Import, wanted: Wanted, tally: dict[str, int]) -> int:
    """Write the errors, say what came of it; rows that are wrong are a problem."""
    if wanted.errors is not None:
        _write_errors(made, wanted.errors)
    told = {"id": made.id, "state": made.state, "rows": made.rows, "dry_run": made.tally, "done": made.done}
    if wanted.quiet:
        print_json({**told, "errors": queries.sample_rows(made, "error")})
    else:
        counts = ", ".join(f"{tally.get(kind, 0)} {kind}" for kind in queries.KINDS)
        click.echo(f"import {made.id} is {made.state}: {counts}")
    return PROBLEM if tally.get("error") else WELL


def _write_errors(made: Import, file: Path) -> None:
    rows, header = queries.error_rows(made), queries.error_header(made)
    with file.open("wb") as out:
        if file.suffix.lower() == ".xlsx":
            write_xlsx(rows, header, out)
        else:
            out.writelines(write_csv(rows, header))
