"""audiences

Revision ID: 0004
Revises: 0003
"""
from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade():
    op.create_table('audiences',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('kind', sa.Enum('tree', 'static', name='audiencekind', native_enum=False, length=32), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('description', sa.Text(), server_default='', nullable=False),
    sa.Column('condition', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('refers_to', sa.ARRAY(sa.BigInteger()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('version', sa.BigInteger(), server_default='1', nullable=False),
    sa.Column('made_by', sa.Text(), nullable=False),
    sa.Column('archived_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audiences'))
    )
    op.create_index('uq_audiences_name', 'audiences', ['name'], unique=True, postgresql_where=sa.text('deleted_at IS NULL'))
    op.create_table('audience_changes',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('audience_id', sa.BigInteger(), nullable=False),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.Column('by', sa.Text(), nullable=False),
    sa.Column('changes', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['audience_id'], ['audiences.id'], name=op.f('fk_audience_changes_audience_id_audiences'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audience_changes'))
    )
    op.create_index('ix_audience_changes_audience_id_id', 'audience_changes', ['audience_id', 'id'], unique=False)
    op.create_table('audience_days',
    sa.Column('audience_id', sa.BigInteger(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('count', sa.BigInteger(), nullable=True),
    sa.Column('joined', sa.BigInteger(), nullable=True),
    sa.Column('left', sa.BigInteger(), nullable=True),
    sa.Column('since', sa.Date(), nullable=True),
    sa.Column('problem', sa.Text(), nullable=True),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['audience_id'], ['audiences.id'], name=op.f('fk_audience_days_audience_id_audiences'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('audience_id', 'day', name=op.f('pk_audience_days'))
    )
    op.create_table('audience_members',
    sa.Column('audience_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('customer_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('added_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('audience_id', 'customer_id', name=op.f('pk_audience_members'))
    )
    op.create_table('audience_snapshots',
    sa.Column('audience_id', sa.BigInteger(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('members', sa.LargeBinary(), nullable=False),
    sa.ForeignKeyConstraint(['audience_id'], ['audiences.id'], name=op.f('fk_audience_snapshots_audience_id_audiences'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('audience_id', name=op.f('pk_audience_snapshots'))
    )
    op.create_table('audience_export_log',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('export_id', sa.BigInteger(), nullable=False),
    sa.Column('audience_id', sa.BigInteger(), nullable=False),
    sa.Column('audience_name', sa.Text(), nullable=False),
    sa.Column('use', sa.Enum('requested', 'downloaded', 'deleted', name='exportuse', native_enum=False, length=32), nullable=False),
    sa.Column('by', sa.Text(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('rows', sa.BigInteger(), nullable=True),
    sa.Column('columns', sa.ARRAY(sa.Text()), nullable=False),
    sa.Column('masked', sa.ARRAY(sa.Text()), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audience_export_log'))
    )
    op.create_table('audience_exports',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('audience_id', sa.BigInteger(), nullable=False),
    sa.Column('audience_name', sa.Text(), nullable=False),
    sa.Column('format', sa.Enum('csv', 'xlsx', name='exportformat', native_enum=False, length=32), nullable=False),
    sa.Column('language', sa.Text(), nullable=False),
    sa.Column('columns', sa.ARRAY(sa.Text()), nullable=False),
    sa.Column('plain', sa.ARRAY(sa.Text()), nullable=False),
    sa.Column('masked', sa.ARRAY(sa.Text()), nullable=False),
    sa.Column('hidden', sa.ARRAY(sa.Text()), nullable=False),
    sa.Column('scope_staff_ids', sa.ARRAY(sa.BigInteger()), nullable=True),
    sa.Column('state', sa.Enum('queued', 'writing', 'ready', 'failed', 'expired', name='exportstate', native_enum=False, length=32), server_default='queued', nullable=False),
    sa.Column('total', sa.BigInteger(), nullable=True),
    sa.Column('done', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('cursor', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('attempts', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=True),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('made_by', sa.Text(), nullable=False),
    sa.Column('frozen_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['audience_id'], ['audiences.id'], name=op.f('fk_audience_exports_audience_id_audiences'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audience_exports'))
    )
    op.create_index(op.f('ix_audience_exports_audience_id'), 'audience_exports', ['audience_id'], unique=False)
    op.create_index('ix_audience_exports_expires_at', 'audience_exports', ['expires_at'], unique=False, postgresql_where=sa.text("state <> 'expired'"))
    op.create_index('ix_audience_exports_open', 'audience_exports', ['id'], unique=False, postgresql_where=sa.text("state IN ('queued', 'writing')"))
    op.create_table('audience_export_members',
    sa.Column('export_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('customer_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.PrimaryKeyConstraint('export_id', 'customer_id', name=op.f('pk_audience_export_members'))
    )
    op.create_table('audience_export_parts',
    sa.Column('export_id', sa.BigInteger(), nullable=False),
    sa.Column('last_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('rows', sa.LargeBinary(), nullable=False),
    sa.ForeignKeyConstraint(['export_id'], ['audience_exports.id'], name=op.f('fk_audience_export_parts_export_id_audience_exports'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('export_id', 'last_id', name=op.f('pk_audience_export_parts'))
    )


def downgrade():
    op.drop_table('audience_export_parts')
    op.drop_table('audience_export_members')
    op.drop_index('ix_audience_exports_open', table_name='audience_exports', postgresql_where=sa.text("state IN ('queued', 'writing')"))
    op.drop_index('ix_audience_exports_expires_at', table_name='audience_exports', postgresql_where=sa.text("state <> 'expired'"))
    op.drop_index(op.f('ix_audience_exports_audience_id'), table_name='audience_exports')
    op.drop_table('audience_exports')
    op.drop_table('audience_export_log')
    op.drop_table('audience_snapshots')
    op.drop_table('audience_members')
    op.drop_table('audience_days')
    op.drop_index('ix_audience_changes_audience_id_id', table_name='audience_changes')
    op.drop_table('audience_changes')
    op.drop_index('uq_audiences_name', table_name='audiences', postgresql_where=sa.text('deleted_at IS NULL'))
    op.drop_table('audiences')
