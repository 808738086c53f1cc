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
    _index_kinds_of_entries(postgresql_include=['kind', 'staff_id'])
    _make_audience_fills()
    op.create_index('ix_person_values_number', 'person_values', ['field', 'value'], postgresql_where=sa.text("jsonb_typeof(value) = 'number'"))
    op.add_column('webhook_deliveries', sa.Column('tries', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False))


def downgrade():
    op.drop_column('webhook_deliveries', 'tries')
    op.drop_index('ix_person_values_number', table_name='person_values')
    op.drop_table('audience_fills')
    _index_kinds_of_entries()
    _drop_begun_relations()


def _index_begun_relations():
    op.create_index('ix_follows_begun', 'follows', [sa.text('coalesce(added_at, half_added_at)')],
                    postgresql_include=['customer_id', 'added_at', 'half_added_at'],
                    postgresql_where=sa.text("status IN ('active', 'half')"))


def _drop_begun_relations():
    op.drop_index('ix_follows_begun', table_name='follows')


def _make_audience_fills():
    op.create_table('audience_fills',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('audience_id', sa.BigInteger(), nullable=False),
    sa.Column('condition', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('confirm', sa.Text(), nullable=True),
    sa.Column('scope_staff_ids', sa.ARRAY(sa.BigInteger()), nullable=True),
    sa.Column('state', sa.Enum('queued', 'filling', 'done', 'failed', 'cancelled', name='fillstate', native_enum=False, length=32), server_default='queued', nullable=False),
    sa.Column('members', sa.LargeBinary(), nullable=True),
    sa.Column('total', sa.BigInteger(), nullable=True),
    sa.Column('done', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('added', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('made_by', sa.Text(), nullable=False),
    sa.Column('frozen_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['audience_id'], ['audiences.id'], name=op.f('fk_audience_fills_audience_id_audiences'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audience_fills'))
    )
    op.create_index('ix_audience_fills_audience_id_id', 'audience_fills', ['audience_id', 'id'], unique=False)
    op.create_index('ix_audience_fills_open', 'audience_fills', ['id'], unique=False, postgresql_where=sa.text("state IN ('queued', 'filling')"))


def _index_kinds_of_entries(**include):
    op.drop_index('ix_timeline_customer_id_at', table_name='timeline')
    op.create_index('ix_timeline_customer_id_at', 'timeline', ['customer_id', 'at', 'id'], **include)
