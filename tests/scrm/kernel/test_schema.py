"""The migrations make exactly the tables of the models."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from scrm.bootstrap import MIGRATIONS
from scrm.kernel.db import Base, db
from scrm.kernel.partitions import partitioned_tables
from scrm.kernel.schema import schema_revisions


def test_models_and_schema_agree(committed):
    def ours(obj, name, kind, reflected, compare_to):
        return not (
            kind == "table" and reflected and any(name.startswith(f"{t}_") for t in partitioned_tables())
        )

    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": ours, "compare_type": True})
        differences = compare_metadata(context, Base.metadata)
    assert [d for d in differences if "alembic_version" not in str(d)] == []


def test_the_database_is_at_the_only_head(committed):
    present, newest = schema_revisions()
    assert present == newest
    assert len(ScriptDirectory(str(MIGRATIONS)).get_heads()) == 1
