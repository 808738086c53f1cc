"""`scrm migration`: write the migration that brings the schema to the models (for developers)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click


@click.command()
@click.argument("message")
def migration(message: str) -> None:
    """Compare the models with what the migrations make, and write what is missing as the next numbered migration.

    A throw-away PostgreSQL is used. Read the file before you commit it: a rename is seen as a loss and a gain.

    \b
    Example: scrm migration "customers get a birthday"
    """
    written = write_migration(message)
    click.echo(f"written: {written}" if written else "models and migrations agree; nothing written")


def write_migration(message: str) -> Path | None:
    """Write the next migration and return its path; None when the models need none."""
    from config.settings import load_settings
    from scrm.bootstrap import create_app
    from scrm.cli.stores import Postgres, running

    with tempfile.TemporaryDirectory(prefix="scrm-migration-") as folder:
        store = Postgres(Path(folder) / "postgres", durable=False)
        with running(store):
            settings = load_settings(
                database_url=store.url, redis_url="redis://127.0.0.1:1", var_dir=Path(folder)
            )
            with create_app(settings).app_context():
                return _write(message)


def _write(message: str) -> Path | None:
    import flask_migrate

    from scrm.bootstrap import MIGRATIONS
    from scrm.kernel.db import db
    from scrm.kernel.schema import schema_differences, schema_revisions, upgrade_schema

    upgrade_schema()
    wanted = schema_differences()
    present, _ = schema_revisions()
    db.session.remove()
    revision = f"{int(present or 0) + 1:04}"
    if wanted:
        flask_migrate.migrate(message=message, rev_id=revision)
    db.engine.dispose()
    return next(MIGRATIONS.glob(f"versions/{revision}_*.py"), None)
