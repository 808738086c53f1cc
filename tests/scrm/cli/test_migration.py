"""`scrm migration` writes what the models have and the migrations lack, and nothing else."""

import pytest
import sqlalchemy as sa

from scrm.bootstrap import MIGRATIONS
from scrm.cli.migration import write_migration
from scrm.kernel.db import Base
from scrm.kernel.schema import schema_differences


@pytest.fixture
def newcomer():
    table = sa.Table("newcomers", Base.metadata, sa.Column("id", sa.BigInteger, primary_key=True))
    yield table
    Base.metadata.remove(table)


def test_nothing_is_written_when_models_and_migrations_agree():
    before = set(MIGRATIONS.glob("versions/*.py"))
    assert write_migration("nothing") is None
    assert set(MIGRATIONS.glob("versions/*.py")) == before


def test_a_new_table_is_a_difference_and_monthly_partitions_are_none(newcomer, session):
    assert [(what, table.name) for what, table in schema_differences()] == [("add_table", "newcomers")]
