"""The migrations make exactly the tables of the models."""

from alembic.script import ScriptDirectory

from scrm.bootstrap import MIGRATIONS
from scrm.kernel.schema import schema_differences, schema_revisions


def test_models_and_schema_agree(committed):
    assert schema_differences() == []


def test_the_database_is_at_the_only_head(committed):
    present, newest = schema_revisions()
    assert present == newest
    assert len(ScriptDirectory(str(MIGRATIONS)).get_heads()) == 1


def test_migrations_are_numbered_without_gaps(committed):
    revisions = sorted(script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions())
    assert revisions == [f"{number:04}" for number in range(1, len(revisions) + 1)]
