"""facts

Revision ID: 0009
Revises: 0008
"""
from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade():
    op.drop_index('ix_event_days_person_id', table_name='event_days')


def downgrade():
    op.create_index('ix_event_days_person_id', 'event_days', ['person_id'])
