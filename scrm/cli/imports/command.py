"""`scrm import people|orders|products|events FILE`, `scrm import undo|list`: tables from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from scrm.cli.exits import PROBLEM
from scrm.kernel.storable import BIGGEST

TARGETS = ("people", "orders", "products", "events", "audience")
COLUMNS = ("id", "target", "state", "rows", "tally", "done", "source", "made_by", "created_at")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")


@click.group()
def import_group() -> None:
    """Import CSV and XLSX files: tried first, then written, and undone if need be.

    \b
    Example: scrm import people customers.xlsx --dry-run
    """


def _import_command(target: str) -> click.Command:
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option(
        "--mapping",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="JSON file: what the columns mean; without it they are recognised by their names.",
    )
    @click.option(
        "--source", help="Name of the source of the rows, such as crm; else that of the mapping, or `import`."
    )
    @click.option("--sheet", help="Sheet of a workbook; else its first visible one.")
    @click.option("--dry-run", is_flag=True, help="Only show what would happen.")
    @click.option("--yes", is_flag=True, help="Write without asking.")
    @click.option("--confirm", help="The token of a refusal because too much would change.")
    @click.option(
        "--errors",
        type=click.Path(dir_okay=False, writable=True, path_type=Path),
        help="Write the rows that are wrong to this file (.csv or .xlsx), with what is wrong.",
    )
    @AS_JSON
    def command(file: Path, as_json: bool, **options: Any) -> int:
        from scrm.cli.application import application, attached_settings

        with application("import", settings=attached_settings()).app_context():
            from scrm.cli.imports.working import Wanted, carry_out

            return carry_out(target, file, Wanted(quiet=as_json, **options))

    command.__doc__ = f"Import {target} from FILE (.csv or .xlsx).\n\n\b\nExample: scrm import {target} {target}.xlsx --dry-run"
    return click.command(target)(command)


for _target in TARGETS:
    import_group.add_command(_import_command(_target))


@import_group.command("undo")
@click.argument("import_id", type=click.IntRange(1, BIGGEST))
@click.option("--dry-run", is_flag=True, help="Only show what would be given back.")
@AS_JSON
def undo(import_id: int, dry_run: bool, as_json: bool) -> int:
    """Give back what import IMPORT_ID changed, except what was changed since.

    \b
    Example: scrm import undo 12 --dry-run
    """
    from scrm.cli.application import application, attached_settings
    from scrm.cli.console import print_json, print_table

    with application("import", settings=attached_settings()).app_context():
        from scrm.cli.imports.working import give_back

        told = give_back(import_id, dry_run=dry_run, quiet=as_json)
    if as_json:
        print_json(told)
    else:
        click.echo(
            f"{told['restored']} rows {'would be' if dry_run else 'are'} given back, {told['conflicts']} left"
        )
        if told["left"]:
            left = [(one["table"], one["record"], one["why"]) for one in told["left"]]
            print_table("left as they are", ("table", "record", "why"), left)
    return PROBLEM if told["conflicts"] else 0


@import_group.command("list")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@AS_JSON
def list_imports(limit: int, as_json: bool) -> None:
    """List imports, newest first.

    \b
    Example: scrm import list
    """
    from scrm.cli.application import application, attached_settings
    from scrm.cli.console import print_json, print_table

    with application("import", settings=attached_settings()).app_context():
        from scrm.imports.models import Import
        from scrm.imports.queries import import_list
        from scrm.kernel.paging import paginate

        items = paginate(import_list({}), Import.id, {"limit": limit})["items"]
        rows = [{name: getattr(one, name) for name in COLUMNS} for one in items]
    if as_json:
        print_json(rows)
    else:
        print_table(f"{len(rows)} imports", COLUMNS, [list(row.values()) for row in rows])
