"""columns

Revision ID: 0011
Revises: 0010
"""
from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None

# Of so many persons in one statement the ids are not listed; months that it touched are asked of PostgreSQL until they are
# copied again.
MOST_PERSONS = 10_000

# table: (its columns that are copied, the person and moment of such rows, or None where the rows have no month)
NOTED = {
    'behaviour_events': ('person_id, at, type_id, properties', 'SELECT person_id, at FROM {rows} AS rows'),
    'orders': ('id, person_id, status, placed_at, paid_at, shipped_at, completed_at, cancelled_at, refunded_at, amount, currency,'
               ' shop, region, seller',
               'SELECT person_id, placed_at AS at FROM {rows} AS rows WHERE person_id IS NOT NULL'),
    'order_lines': ('order_id, product_id',
                    'SELECT o.person_id, o.placed_at AS at FROM {rows} AS rows JOIN orders o ON o.id = rows.order_id'
                    ' WHERE rows.product_id IS NOT NULL AND o.person_id IS NOT NULL'),
    'customer_people': ('person_id, customer_id', None),
}
SOURCES = {'order_lines': 'orders'}  # under which a table's changes are noted


def _told(table, rows):
    """Find out whose rows of which months are in `rows`."""
    question = NOTED[table][1]
    if question is None:
        touched = f'SELECT person_id, CAST(NULL AS timestamptz) AS at FROM {rows} AS rows'
    else:
        touched = question.format(rows=rows)
    return f"""
    SELECT array_agg(DISTINCT person_id), min(at), max(at) INTO persons, first_at, last_at FROM ({touched}) AS touched;
    month_of_first := date_trunc('month', timezone('UTC', first_at));
    IF month_of_first = date_trunc('month', timezone('UTC', last_at)) THEN
      months := ARRAY[month_of_first];
    ELSIF first_at IS NOT NULL THEN
      SELECT array_agg(DISTINCT CAST(date_trunc('month', timezone('UTC', at)) AS date)) INTO months FROM ({touched}) AS touched;
    END IF;"""


def _function(table):
    """Rows that came or went are noted, and of changed ones those that say something else in what is copied.

    Compared as sets of rows and not row by row: a row that moved is noted on both sides. A table that was emptied at once
    makes the whole copy one of another database.
    """
    columns = NOTED[table][0]
    both = f"""((SELECT {columns} FROM new_rows EXCEPT ALL SELECT {columns} FROM old_rows) UNION ALL
                (SELECT {columns} FROM old_rows EXCEPT ALL SELECT {columns} FROM new_rows))"""
    return f"""
CREATE FUNCTION note_columns_of_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE persons bigint[]; months date[] := '{{}}'; first_at timestamptz; last_at timestamptz; month_of_first date;
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    UPDATE column_base SET key = gen_random_uuid();
    RETURN NULL;
  ELSIF TG_OP = 'INSERT' THEN {_told(table, 'new_rows')}
  ELSIF TG_OP = 'DELETE' THEN {_told(table, 'old_rows')}
  ELSE {_told(table, both)}
  END IF;
  IF persons IS NOT NULL THEN
    INSERT INTO column_changes (xid, source, months, person_ids) VALUES (
      CAST(CAST(pg_current_xact_id() AS text) AS bigint), '{SOURCES.get(table, table)}', months,
      CASE WHEN cardinality(persons) <= {MOST_PERSONS} THEN persons END);
  END IF;
  RETURN NULL;
END $$"""


def upgrade():
    op.create_table('column_changes',
    sa.Column('xid', sa.BigInteger(), nullable=False),
    sa.Column('id', sa.BigInteger(), sa.Identity(), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('months', postgresql.ARRAY(sa.Date()), nullable=False),
    sa.Column('person_ids', postgresql.ARRAY(sa.BigInteger()), nullable=True),
    sa.PrimaryKeyConstraint('xid', 'id', name=op.f('pk_column_changes'))
    )
    # Compressing a thousand ids costs the intake three times what finding them does.
    op.execute('ALTER TABLE column_changes ALTER person_ids SET STORAGE EXTERNAL')
    op.create_table('column_base',
    sa.Column('id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('key', sa.Uuid(), server_default=sa.text('gen_random_uuid()'), nullable=False),
    sa.Column('below', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('next_below', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('marked_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint('id = 1', name=op.f('ck_column_base_one')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_column_base'))
    )
    op.execute('INSERT INTO column_base (id) VALUES (1)')
    for table in NOTED:
        op.execute(_function(table))
        for event, rows in (
            ('INSERT', 'REFERENCING NEW TABLE AS new_rows'),
            ('UPDATE', 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows'),
            ('DELETE', 'REFERENCING OLD TABLE AS old_rows'),
            ('TRUNCATE', ''),
        ):
            op.execute(f'CREATE TRIGGER columns_{event.lower()} AFTER {event} ON {table} {rows}'
                       f' FOR EACH STATEMENT EXECUTE FUNCTION note_columns_of_{table}()')


def downgrade():
    for table in NOTED:
        op.execute(f'DROP FUNCTION note_columns_of_{table}() CASCADE')
    op.drop_table('column_base')
    op.drop_table('column_changes')
