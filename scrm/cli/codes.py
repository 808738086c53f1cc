"""`scrm codes list|stats|export|import`: channel codes, what came of them, and as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scrm.cli.exits import PROBLEM
from scrm.kernel.storable import BIGGEST

if TYPE_CHECKING:
    from datetime import datetime

COLUMNS = ("id", "name", "status", "duty_reason", "on_duty", "adds", "check_at", "error")
FIGURES = ("adds", "returns", "lost 24h", "lost 7d", "welcomes", "missed")
DAY = click.DateTime(["%Y-%m-%d"])
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


@click.group()
def codes_group() -> None:
    """Channel codes (渠道活码).

    \b
    Example: scrm codes list --json
    """


@codes_group.command("list")
@click.option("--status", help="Only codes in this state, such as active, failed or missing.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@AS_JSON
def list_codes(status: str | None, limit: int, as_json: bool) -> None:
    """List codes, newest first, with who serves them now.

    \b
    Example: scrm codes list --status missing
    """
    from scrm.cli.application import application, attached_settings
    from scrm.cli.console import print_json, print_table

    with application("codes", settings=attached_settings()).app_context():
        from scrm.acquisition.models import ChannelCode
        from scrm.acquisition.queries.codes import channel_code_list
        from scrm.kernel.paging import paginate
        from scrm.kernel.permissions import Scope

        statement = channel_code_list(Scope.all(), {"status": _state(status)})
        items = paginate(statement, ChannelCode.id, {"limit": limit})["items"]
    rows = [{name: row[name] for name in COLUMNS} for row in items]
    if as_json:
        print_json(rows)
    else:
        print_table(f"{len(rows)} channel codes", COLUMNS, [list(row.values()) for row in rows])


def _state(status: str | None) -> str | None:
    from scrm.acquisition.models import CodeState

    if status is not None and status not in set(CodeState):
        raise click.BadParameter(f"must be one of {', '.join(CodeState)}", param_hint="--status")
    return status


@codes_group.command("stats")
@click.argument("code_id", type=click.IntRange(1, BIGGEST), required=False)
@click.option("--from", "first", type=DAY, help="First day, in the corp's zone; else the last 30 days.")
@click.option("--to", "last", type=DAY, help="Last day.")
@click.option("--by", type=click.Choice(["day", "staff"]), default="day", show_default=True)
@AS_JSON
def show_statistics(
    code_id: int | None, first: datetime | None, last: datetime | None, by: str, as_json: bool
) -> None:
    """What came of CODE_ID by day or member, or of every code.

    \b
    Example: scrm codes stats 12 --by staff
    """
    from scrm.cli.application import application, attached_settings
    from scrm.cli.console import print_json, print_table

    days = {"from_": first, "to": last}
    query: dict[str, Any] = {name: day.date() for name, day in days.items() if day} | {"by": by, "limit": 200}
    with application("codes", settings=attached_settings()).app_context():
        from scrm.acquisition.queries import codes, statistics
        from scrm.kernel.permissions import Scope

        if code_id is None:
            told = statistics.overview(Scope.all(), query)
        else:
            codes.channel_code_detail(Scope.all(), code_id)
            told = statistics.code_statistics(Scope.all(), code_id, query)
    if as_json:
        print_json({**told, "from": told.pop("from_")})
        return
    heading = f"{told['from_']} to {told['to']}"
    print_table(heading, ("", *FIGURES), [_figures(row) for row in told["items"]])


def _figures(row: dict[str, Any]) -> list[Any]:
    key = row.get("name") or row.get("day") or row.get("staff_id")
    losses = [row[f"lost_{name}_by_customer"] + row[f"lost_{name}_by_staff"] for name in ("24h", "7d")]
    return [key, row["adds"], row["returns"], *losses, row["welcomes_sent"], row["welcomes_missed"]]


@codes_group.command("export")
@click.argument("file", type=click.Path(dir_okay=False, writable=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of CSV.")
def export_file(file: Path, as_json: bool) -> None:
    """Write all codes to FILE, as CSV for spreadsheets or as JSON.

    \b
    Example: scrm codes export codes.csv
    """
    from scrm.cli.application import application, attached_settings

    with application("codes", settings=attached_settings()).app_context():
        from scrm.acquisition.service.exchange import export_codes

        content, _ = export_codes("json" if as_json else "csv")
    file.write_text(content, encoding="utf-8", newline="")
    click.echo(f"{file} is written")


@codes_group.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say what is wrong.")
@AS_JSON
def import_file(file: Path, dry_run: bool, as_json: bool) -> int:
    """Make a code of every row of FILE (.json, else CSV); when one row is wrong, none is made.

    \b
    Example: scrm codes import codes.csv --dry-run
    """
    from scrm.cli.application import application, attached_settings
    from scrm.cli.console import print_json, print_table

    kind = "json" if file.suffix == ".json" else "csv"
    content = file.read_bytes().decode("utf-8", errors="replace")
    with application("codes", settings=attached_settings()).app_context():
        from scrm.acquisition.service.exchange import import_codes
        from scrm.kernel.db import transaction

        with transaction():
            told = import_codes(kind, content, dry_run=dry_run)
    if as_json:
        print_json(told)
    elif told["errors"]:
        problems = [
            (row["row"], path, problem) for row in told["errors"] for path, problem in row["errors"].items()
        ]
        print_table("nothing was made", ("row", "column", "problem"), problems)
    else:
        click.echo(f"{told['rows']} rows are fine" if dry_run else f"{len(told['made'])} codes are made")
    return PROBLEM if told["errors"] else 0
