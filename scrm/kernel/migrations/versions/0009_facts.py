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


# E-mail identities are small letters throughout from now on. Where two differ by case only, one is left as it is: whether
# these are one person, the suggestions of matches ask.
SMALL_LETTERS = [
    f"""UPDATE {table} AS x SET value = lower(value)
      WHERE kind = 'email' AND value <> lower(value) AND NOT EXISTS (SELECT FROM {table} AS y WHERE y.kind = 'email'
        AND lower(y.value) = lower(x.value) {same} AND (y.value = lower(y.value) OR y.value < x.value))"""
    for table, same in (
        ("identities", ""), ("blocked_values", ""), ("identity_claims", "AND y.person_id = x.person_id"),
    )
]


def upgrade():
    for statement in SMALL_LETTERS:
        op.execute(statement)
    op.create_table('detached_months',
    sa.Column('table_name', sa.Text(), nullable=False),
    sa.Column('begins_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ends_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('settled_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('detached_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('table_name', 'begins_at', name=op.f('pk_detached_months'))
    )
    # The day of the last order instead of the days since then; in another zone than this the next night puts it right.
    op.add_column('rfm_scores', sa.Column('last_on', sa.Date(), nullable=True))
    op.execute("""UPDATE rfm_scores SET
      last_on = CAST(timezone('Asia/Shanghai', computed_at) AS date) - CAST(recency_days AS int)""")
    op.alter_column('rfm_scores', 'last_on', nullable=False)
    op.drop_column('rfm_scores', 'recency_days')
    op.drop_index('ix_event_days_person_id', table_name='event_days')


def downgrade():
    op.add_column('rfm_scores', sa.Column('recency_days', sa.BigInteger(), nullable=True))
    op.execute("UPDATE rfm_scores SET recency_days = GREATEST(0, CAST(timezone('Asia/Shanghai', computed_at) AS date) - last_on)")
    op.alter_column('rfm_scores', 'recency_days', nullable=False)
    op.drop_column('rfm_scores', 'last_on')
    op.drop_table('detached_months')
    op.create_index('ix_event_days_person_id', 'event_days', ['person_id'])
