"""`scrm migrate`: bring the database up to date."""

from __future__ import annotations

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def migrate(as_json: bool) -> None:
    """Run the missing migrations and make the missing monthly partitions. Safe to run again, and by several at once.

    \b
    Example: scrm migrate
    """
    from scrm.cli.application import application
    from scrm.cli.console import print_json
    from scrm.kernel.db import transaction
    from scrm.kernel.locks import hold_in_transaction
    from scrm.kernel.schema import schema_revisions, upgrade_schema

    app = application("migrate")
    with app.app_context(), transaction():
        hold_in_transaction("migrate")  # several machines may start at once
        before, newest = schema_revisions()
        made = upgrade_schema()
    if as_json:
        print_json({"before": before, "now": newest, "partitions_made": made})
    else:
        click.echo(f"database: {before or 'empty'} -> {newest}; partitions made: {len(made)}")
