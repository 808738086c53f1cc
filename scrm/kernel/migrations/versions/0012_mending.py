"""mending

Revision ID: 0012
Revises: 0011
"""
from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None


def upgrade():
    _index_begun_relations()


def downgrade():
    _drop_begun_relations()


def _index_begun_relations():
    op.create_index('ix_follows_begun', 'follows', [sa.text('coalesce(added_at, half_added_at)')],
                    postgresql_include=['customer_id', 'added_at', 'half_added_at'],
                    postgresql_where=sa.text("status IN ('active', 'half')"))


def _drop_begun_relations():
    op.drop_index('ix_follows_begun', table_name='follows')
