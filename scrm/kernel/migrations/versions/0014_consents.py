"""consents

Revision ID: 0014
Revises: 0013
"""
from alembic import op

revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None

INDEX = 'ix_person_consents_channel_contactable_person_id'
EVENTS = {
    'INSERT': 'REFERENCING NEW TABLE AS new_rows',
    'UPDATE': 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows',
    'DELETE': 'REFERENCING OLD TABLE AS old_rows',
    'TRUNCATE': '',
}
# As migration 0005 notes the facts of persons: so many in one statement are not listed.
MOST_IDS = 100_000
NOTE = ("INSERT INTO set_changes (xid, source, ids)"
        " VALUES (CAST(CAST(pg_current_xact_id() AS text) AS bigint), 'person_consents',")
SAID = 'person_id, channel, contactable, at'


def _listed(rows, counted):
    return f"""
      SELECT count(*) INTO many FROM (SELECT FROM {counted} LIMIT {MOST_IDS} + 1) AS few;
      IF many > {MOST_IDS} THEN
        {NOTE} NULL);
      ELSIF many > 0 THEN
        SELECT array_agg(DISTINCT person_id) INTO found FROM {rows};
        IF found IS NOT NULL THEN {NOTE} found); END IF;
      END IF;"""


FUNCTION = f"""
CREATE FUNCTION note_person_consents() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE many bigint; found bigint[];
BEGIN
  IF TG_OP = 'INSERT' THEN {_listed('new_rows', 'new_rows')}
  ELSIF TG_OP = 'DELETE' THEN {_listed('old_rows', 'old_rows')}
  ELSIF TG_OP = 'UPDATE' THEN {_listed(
      f'((SELECT {SAID} FROM new_rows EXCEPT SELECT {SAID} FROM old_rows) UNION ALL'
      f' (SELECT {SAID} FROM old_rows EXCEPT SELECT {SAID} FROM new_rows)) AS changed', 'new_rows')}
  ELSE {NOTE} NULL);
  END IF;
  RETURN NULL;
END $$"""


def upgrade():
    """Who agreed or refused is found by an index, and a change of it reaches the sets that are kept."""
    op.create_index(INDEX, 'person_consents', ['channel', 'contactable', 'person_id'], postgresql_include=['at'])
    op.execute(FUNCTION)
    for event, rows in EVENTS.items():
        op.execute(f'CREATE TRIGGER note_{event.lower()} AFTER {event} ON person_consents {rows}'
                   f' FOR EACH STATEMENT EXECUTE FUNCTION note_person_consents()')


def downgrade():
    op.execute('DROP FUNCTION note_person_consents() CASCADE')
    op.drop_index(INDEX, table_name='person_consents')
