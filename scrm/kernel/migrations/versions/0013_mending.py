"""mending again

Revision ID: 0013
Revises: 0012
"""
from alembic import op
import sqlalchemy as sa

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None

EMPTIED = ('behaviour_events', 'orders', 'order_lines')


def upgrade():
    op.create_index('ix_orders_placed_at', 'orders', ['placed_at'], postgresql_where=sa.text('person_id IS NOT NULL'))
    op.create_table('column_troubles',
    sa.Column('place', sa.Text(), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('month', sa.Date(), nullable=False),
    sa.Column('kind', sa.Enum('spoiled', 'doubted', 'unwritten', name='trouble', native_enum=False, length=32), nullable=False),
    sa.Column('error', sa.Text(), nullable=False),
    sa.Column('times', sa.BigInteger(), nullable=False),
    sa.Column('last_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('place', 'source', 'month', name=op.f('pk_column_troubles'))
    )
    op.create_table('backed_sets',
    sa.Column('digest', sa.Text(), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('base', sa.Text(), nullable=False),
    sa.Column('snapshot', sa.Text(), nullable=False),
    sa.Column('as_of', sa.DateTime(timezone=True), nullable=False),
    sa.Column('mark', sa.Text(), nullable=False),
    sa.Column('bits', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('digest', name=op.f('pk_backed_sets'))
    )
    _note_months_that_come_and_go()
    # Roaring bitmaps are compressed already.
    op.execute('ALTER TABLE backed_sets ALTER bits SET STORAGE EXTERNAL')
    _place_of_choosing()
    _names_of_files()
    op.add_column('schedule_runs', sa.Column('place', sa.BigInteger(), server_default=sa.text('0'), nullable=False))
    _tags_by_their_days("source LIKE 'rule:%' AND spent_at IS NULL")


def _place_of_choosing():
    """How far values were chosen again by a field's new rule: a worker that was killed goes on there."""
    op.add_column('fields', sa.Column('choosing_after', sa.BigInteger(), nullable=True))


def _names_of_files():
    """The same content under another name is another file."""
    op.drop_constraint('uq_media_files_sha256', 'media_files')
    op.create_unique_constraint('uq_media_files_sha256_filename', 'media_files', ['sha256', 'filename'])


def _one_name_each():
    """Fails while a content has several names: delete the files that are not to stay, their ids are named elsewhere."""
    op.drop_constraint('uq_media_files_sha256_filename', 'media_files')
    op.create_unique_constraint('uq_media_files_sha256', 'media_files', ['sha256'])


def _tags_by_their_days(which):
    """0003 wrote the per cent sign twice, which no question writes, so that the index was never used: every slice of expired
    tags passed over all those before it. SQLAlchemy doubles the sign itself.
    """
    op.drop_index('ix_tag_sources_rule_since', table_name='tag_sources')
    op.create_index('ix_tag_sources_rule_since', 'tag_sources', ['source', 'since'], postgresql_where=sa.text(which))


def _note_months_that_come_and_go():
    """A month that is taken out of the table, or put back, and a table that is emptied change no row, but what is answered."""
    told = 'INSERT INTO column_changes (xid, source, months) SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)'
    months = "array_agg(CAST(timezone('UTC', begins_at) AS date))"
    op.execute(f"""
CREATE FUNCTION note_detached_months() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  {told}, table_name, {months} FROM changed WHERE table_name = 'behaviour_events' GROUP BY table_name;
  RETURN NULL;
END $$""")
    for event, rows in (('INSERT', 'NEW'), ('DELETE', 'OLD')):
        op.execute(f'CREATE TRIGGER columns_{event.lower()} AFTER {event} ON detached_months'
                   f' REFERENCING {rows} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_detached_months()')
    op.execute(f"""
CREATE FUNCTION note_emptied_tables() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  {told}, CASE TG_TABLE_NAME WHEN 'order_lines' THEN 'orders' ELSE TG_TABLE_NAME END, array_agg(CAST(month AS date))
  FROM generate_series(DATE '1990-01-01', DATE '2100-01-01', INTERVAL '1 month') AS month;
  RETURN NULL;
END $$""")
    for table in EMPTIED:
        op.execute(f'CREATE TRIGGER columns_emptied AFTER TRUNCATE ON {table}'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION note_emptied_tables()')


def downgrade():
    op.drop_column('schedule_runs', 'place')
    op.execute('DROP FUNCTION note_emptied_tables() CASCADE')
    op.execute('DROP FUNCTION note_detached_months() CASCADE')
    _tags_by_their_days("source LIKE 'rule:%%' AND spent_at IS NULL")
    _one_name_each()
    op.drop_column('fields', 'choosing_after')
    op.drop_table('backed_sets')
    op.drop_table('column_troubles')
    op.drop_index('ix_orders_placed_at', table_name='orders')
