"""rules

Revision ID: 0008
Revises: 0007
"""
from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade():
    op.add_column('tag_groups', sa.Column('push', sa.Enum('wecom', 'local', name='push', native_enum=False, length=32), server_default='wecom', nullable=False))
    op.add_column('tag_groups', sa.Column('switching', sa.Boolean(), server_default='false', nullable=False))
    op.create_check_constraint(op.f('ck_tag_groups_local_unknown_at_wecom'), 'tag_groups', "push = 'wecom' OR wecom_id IS NULL")
    op.drop_index('uq_tag_groups_name', table_name='tag_groups', postgresql_where=sa.text('deleted_at IS NULL'))
    op.create_index('uq_tag_groups_name', 'tag_groups', ['name', 'push'], unique=True, postgresql_where=sa.text('deleted_at IS NULL'))
    op.create_index('ix_tag_assignments_outranked', 'tag_assignments', ['tag_id'], unique=False, postgresql_where=sa.text('outranked'))


def downgrade():
    op.drop_index('ix_tag_assignments_outranked', table_name='tag_assignments', postgresql_where=sa.text('outranked'))
    op.drop_index('uq_tag_groups_name', table_name='tag_groups', postgresql_where=sa.text('deleted_at IS NULL'))
    op.create_index('uq_tag_groups_name', 'tag_groups', ['name'], unique=True, postgresql_where=sa.text('deleted_at IS NULL'))
    op.drop_constraint(op.f('ck_tag_groups_local_unknown_at_wecom'), 'tag_groups', type_='check')
    op.drop_column('tag_groups', 'switching')
    op.drop_column('tag_groups', 'push')
