"""The database schema: bring it up to date, and say whether it is."""

from __future__ import annotations

from typing import Any

import flask_migrate
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import current_app

from scrm.kernel.db import Base, db, session
from scrm.kernel.partitions import ensure_partitions, partitioned_tables


def upgrade_schema() -> list[str]:
    """Run the missing migrations and make the missing partitions; returns the names of the partitions made."""
    flask_migrate.upgrade()
    with db.engine.begin() as connection:
        return ensure_partitions(connection)


def schema_revisions() -> tuple[str | None, str | None]:
    """(revision of the database, newest revision of the program); equal when up to date."""
    present = MigrationContext.configure(session().connection()).get_current_revision()
    return present, ScriptDirectory(current_app.extensions["migrate"].directory).get_current_head()


def schema_differences() -> list[Any]:
    """What Alembic would have to change to bring the database to the models; empty when they agree."""
    options = {"include_object": without_partitions, "compare_type": True}
    context = MigrationContext.configure(session().connection(), opts=options)
    found = compare_metadata(context, Base.metadata)
    return [one for one in found if "alembic_version" not in str(one)]


def without_partitions(
    _item: object, name: str | None, kind: str, reflected: bool, _compare_to: object
) -> bool:
    """Leave monthly partitions out of comparisons: the clock makes them, not migrations."""
    parents = partitioned_tables()
    return not (kind == "table" and reflected and any((name or "").startswith(f"{t}_") for t in parents))
