"""sets

Revision ID: 0005
Revises: 0004
"""
from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None

# Facts of so many customers in one statement are not listed; sets that read them are asked anew.
MOST_IDS = 100_000
NOTE = 'INSERT INTO set_changes (xid, source, ids) VALUES (CAST(CAST(pg_current_xact_id() AS text) AS bigint), '

# table: (source of updates, the id that is noted, or None: everybody; what conditions look at)
NOTED = {
    'customers': ('customers.fields', 'id',
                  'external_userid, name, avatar, type, gender, unionid, position, corp_name, corp_full_name, created_at'),
    'follows': ('follows', 'customer_id',
                'staff_id, status, half_added_at, added_at, deleted_by_staff_at, deleted_by_customer_at, remark, description,'
                ' remark_corp_name, remark_mobiles, add_way, state, oper_userid'),
    'tag_assignments': ('tag_assignments', 'customer_id', "tag_id, state IN ('active', 'pending_add')"),
    'group_stays': ('group_stays', 'customer_id', 'group_id, joined_at, left_at, state'),
    'audience_members': ('audience_members', 'customer_id', 'audience_id'),
    'customer_people': ('customer_people', 'customer_id', 'person_id'),
    'person_fields': ('person_fields', 'person_id', 'field, value'),
    'rfm_scores': ('rfm_scores', 'person_id', 'r, f, m, last_on, frequency, monetary'),
    'lifecycle': ('lifecycle', 'person_id', 'stage, since'),
    'trait_values': ('trait_values', 'person_id', 'trait_id, value_num, value_text, value_time, value_list'),
    'tags': ('tags', None, 'id, group_id'),
    'staff_departments': ('staff_departments', None, 'staff_id, department_id'),
    'departments': ('departments', None, 'id, parent_id'),
    'customer_groups': ('customer_groups', None, 'id, owner_staff_id'),
    'channel_codes': ('channel_codes', None, 'id, state'),
}


def _listed(source, key, rows, counted=None):
    """Note who is in `rows`, if `counted` (by default the same rows) are not too many."""
    if key is None:
        return f"IF EXISTS (SELECT FROM {rows}) THEN {NOTE} '{source}', NULL); END IF;"
    return f"""
      SELECT count(*) INTO many FROM (SELECT FROM {counted or rows} LIMIT {MOST_IDS} + 1) AS few;
      IF many > {MOST_IDS} THEN
        {NOTE} '{source}', NULL);
      ELSIF many > 0 THEN
        SELECT array_agg(DISTINCT {key}) INTO found FROM {rows} WHERE {key} IS NOT NULL;
        IF found IS NOT NULL THEN {NOTE} '{source}', found); END IF;
      END IF;"""


def _function(table, source, key, columns):
    """Rows that came or went are noted; of changed ones those that say something else than before.

    Compared as sets of rows and not row by row: no key is needed, and an id that moved is noted on both sides.
    """
    said = f"{key}, {columns}" if key else columns
    both = f"""((SELECT {said} FROM new_rows EXCEPT SELECT {said} FROM old_rows) UNION ALL
                (SELECT {said} FROM old_rows EXCEPT SELECT {said} FROM new_rows)) AS changed"""
    return f"""
CREATE FUNCTION note_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE many bigint; found bigint[];
BEGIN
  IF TG_OP = 'INSERT' THEN {_listed(table, key, 'new_rows')}
  ELSIF TG_OP = 'DELETE' THEN {_listed(table, key, 'old_rows')}
  ELSIF TG_OP = 'UPDATE' THEN {_listed(source, key, both, counted='new_rows')}
  ELSE {NOTE} '{table}', NULL); {f"{NOTE} '{source}', NULL);" if source != table else ""}
  END IF;
  RETURN NULL;
END $$"""


def upgrade():
    op.create_table('set_changes',
    sa.Column('xid', sa.BigInteger(), nullable=False),
    sa.Column('id', sa.BigInteger(), sa.Identity(), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('ids', postgresql.ARRAY(sa.BigInteger()), nullable=True),
    sa.PrimaryKeyConstraint('xid', 'id', name=op.f('pk_set_changes'))
    )
    op.create_table('set_horizon',
    sa.Column('id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('below', sa.BigInteger(), nullable=False),
    sa.Column('next_below', sa.BigInteger(), nullable=False),
    sa.Column('marked_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint('id = 1', name=op.f('ck_set_horizon_one')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_set_horizon'))
    )
    for table, (source, key, columns) in NOTED.items():
        op.execute(_function(table, source, key, columns))
        for event, rows in (
            ('INSERT', 'REFERENCING NEW TABLE AS new_rows'),
            ('UPDATE', 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows'),
            ('DELETE', 'REFERENCING OLD TABLE AS old_rows'),
            ('TRUNCATE', ''),
        ):
            op.execute(f"CREATE TRIGGER note_{event.lower()} AFTER {event} ON {table} {rows}"
                       f" FOR EACH STATEMENT EXECUTE FUNCTION note_{table}()")


def downgrade():
    for table in NOTED:
        op.execute(f'DROP FUNCTION note_{table}() CASCADE')
    op.drop_table('set_horizon')
    op.drop_table('set_changes')
