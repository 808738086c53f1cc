"""`scrm migrate`: bring the database up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from flask import Flask


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def migrate(as_json: bool) -> None:
    """Run the missing migrations and make the missing monthly partitions. Safe to run again, and by several at once.

    \b
    Example: scrm migrate
    """
    from scrm.cli.application import application, attached_settings
    from scrm.cli.console import print_json

    before, newest, made = migrated(application("migrate", settings=attached_settings()))
    if as_json:
        print_json({"before": before, "now": newest, "partitions_made": made})
    else:
        click.echo(f"database: {before or 'empty'} -> {newest}; partitions made: {len(made)}")


def migrated(app: Flask) -> tuple[str | None, str | None, list[str]]:
    """Bring the database up to date; several machines may do this at once.

    :returns: revision before, newest revision, names of the partitions made
    """
    from scrm.kernel.db import db, transaction
    from scrm.kernel.locks import hold_in_transaction
    from scrm.kernel.schema import schema_revisions, upgrade_schema

    with app.app_context():
        with transaction():
            hold_in_transaction("migrate")
            before, newest = schema_revisions()
            made = upgrade_schema()
        db.session.remove()
        db.engine.dispose()
    return before, newest, made
