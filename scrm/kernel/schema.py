"""The database schema: bring it up to date, and say whether it is."""

from __future__ import annotations

import flask_migrate
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import current_app

from scrm.kernel.db import db, session
from scrm.kernel.partitions import ensure_partitions


def upgrade_schema() -> list[str]:
    """Run the missing migrations and make the missing partitions; returns the names of the partitions made."""
    flask_migrate.upgrade()
    with db.engine.begin() as connection:
        return ensure_partitions(connection)


def schema_revisions() -> tuple[str | None, str | None]:
    """(revision of the database, newest revision of the program); equal when up to date."""
    present = MigrationContext.configure(session().connection()).get_current_revision()
    return present, ScriptDirectory(current_app.extensions["migrate"].directory).get_current_head()
