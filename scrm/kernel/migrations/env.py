"""Alembic's entry: run migrations on the app's engine, with time-outs so that a lock cannot stop the business."""

from __future__ import annotations

from alembic import context
from flask import current_app
from sqlalchemy import text

from scrm.kernel.schema import without_partitions

LOCK_SECONDS = 4
STATEMENT_SECONDS = 300


def run() -> None:
    """Bring the database to the wanted revision."""
    db = current_app.extensions["migrate"].db
    with db.engine.connect() as connection:
        connection.execute(text(f"SET lock_timeout = '{LOCK_SECONDS}s'"))
        connection.execute(text(f"SET statement_timeout = '{STATEMENT_SECONDS}s'"))
        connection.commit()
        context.configure(
            connection=connection, target_metadata=db.metadata, include_object=without_partitions, compare_type=True,
            compare_server_default=False, transaction_per_migration=True,
        )  # fmt: skip
        with context.begin_transaction():
            context.run_migrations()


run()
