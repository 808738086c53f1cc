"""`scrm sync`: make ours what WeCom shows, see what differed, and decide what a run asks about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from scrm.kernel.storable import BIGGEST

if TYPE_CHECKING:
    from flask import Flask

CHOICES = ("staff", "tags", "customers", "groups", "contact_ways", "join_ways", "group_templates", "kf")
RUN_ID = click.argument("run_id", type=click.IntRange(1, BIGGEST))
SOME_RUN = click.argument("run_id", type=click.IntRange(1, BIGGEST), required=False)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
COLUMNS = ("id", "kind", "state", "by", "entities", "dry_run", "created_at", "finished_at", "error")
SHORT = ("id", "kind", "state", "by", "what", "began (UTC)", "seconds")


def _entities(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    names = tuple(name.strip() for name in (value or "").split(",") if name.strip())
    if unknown := sorted(set(names) - set(CHOICES)):
        raise click.BadParameter(f"{', '.join(unknown)}: there are {', '.join(CHOICES)}")
    return names


@click.group(invoke_without_command=True)
@click.option("--only", callback=_entities, help=f"Some entities, with commas: {', '.join(CHOICES)}.")
@click.option("--dry-run", is_flag=True, help="Read and compare; write nothing.")
@click.option(
    "--repair-tags",
    type=click.Choice(["ours", "wecom", "none"]),
    default="ours",
    show_default=True,
    help="Whose tags of customers are mended where both differ: ours takes what WeCom shows, wecom sends what we hold.",
)
@click.option("--no-wait", is_flag=True, help="Begin and leave it to the workers.")
@AS_JSON
@click.pass_context
def sync(
    context: click.Context,
    only: tuple[str, ...],
    dry_run: bool,
    repair_tags: str,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Read everything from WeCom and make our side equal.

    Workers of the queue `background` do it, as many as there are; without any this command does it itself. Nobody is
    welcomed and nothing is sent by it. Where more would vanish than `sync.shrink_share`, it stops and asks.

    \b
    Example: scrm sync --only customers,tags --dry-run
    """
    if context.invoked_subcommand is not None:
        return
    from scrm.cli.sync.following import begin, follow
    from scrm.cli.sync.shown import conclude

    with _application().app_context():
        run_id = begin(only, dry_run=dry_run, repair_tags=repair_tags)
        if no_wait:
            click.echo(f"sync run {run_id} has begun; `scrm sync watch {run_id}` shows it")
            return
        follow(run_id, quiet=as_json)
        code = conclude(run_id, as_json=as_json)
    context.exit(code)


@sync.command("watch")
@SOME_RUN
@AS_JSON
@click.pass_context
def watch(context: click.Context, run_id: int | None, as_json: bool) -> None:
    """Follow a run (the newest) to its end, and show its report.

    \b
    Example: scrm sync watch
    """
    from scrm.cli.sync.following import follow
    from scrm.cli.sync.shown import conclude

    with _application().app_context():
        found = run_id or _newest()
        follow(found, quiet=as_json)
        code = conclude(found, as_json=as_json)
    context.exit(code)


@sync.command("report")
@SOME_RUN
@AS_JSON
@click.pass_context
def report(context: click.Context, run_id: int | None, as_json: bool) -> None:
    """Show what a run (the newest) came to: counts, what failed and what to do, drift.

    \b
    Example: scrm sync report 12
    """
    from scrm.cli.sync.shown import conclude

    with _application().app_context():
        code = conclude(run_id or _newest(), as_json=as_json)
    context.exit(code)


@sync.command("list")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@AS_JSON
def list_runs(limit: int, as_json: bool) -> None:
    """List runs, newest first.

    \b
    Example: scrm sync list --json
    """
    from scrm.cli.console import print_json, print_table
    from scrm.sync.queries import run_page

    with _application().app_context():
        rows = [{name: getattr(run, name) for name in COLUMNS} for run in run_page({"limit": limit})["items"]]
    if as_json:
        print_json(rows)
    else:
        print_table(f"{len(rows)} runs", SHORT, [_short(row) for row in rows])


def _short(row: dict[str, Any]) -> list[object]:
    what = "everything" if len(row["entities"]) == len(CHOICES) else ", ".join(row["entities"])
    took = round((row["finished_at"] - row["created_at"]).total_seconds(), 1) if row["finished_at"] else ""
    began = f"{row['created_at']:%m-%d %H:%M}"
    dry = " (dry)" if row["dry_run"] else ""
    return [row["id"], row["kind"], f"{row['state']}{dry}", row["by"], what, began, took]


@sync.command("confirm")
@RUN_ID
def confirm(run_id: int) -> None:
    """Let a run that waits for a person end what it holds back.

    \b
    Example: scrm sync confirm 12
    """
    from scrm.cli.sync.following import decide

    with _application().app_context():
        decide(run_id, confirmed=True)
    click.echo(f"sync run {run_id} goes on; `scrm sync watch {run_id}` shows it")


@sync.command("cancel")
@RUN_ID
def cancel(run_id: int) -> None:
    """Stop a run: what it wrote stays, what it would have ended stays too.

    \b
    Example: scrm sync cancel 12
    """
    from scrm.cli.sync.following import decide

    with _application().app_context():
        decide(run_id, confirmed=False)
    click.echo(f"sync run {run_id} is cancelled")


def _newest() -> int:
    from scrm.sync.queries import newest_run

    return newest_run().id


def _application() -> Flask:
    from scrm.cli.application import application, attached_settings

    return application("sync", settings=attached_settings())
