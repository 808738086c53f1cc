"""imports

Revision ID: 0007
Revises: 0006
"""
from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None

# Tables of which an import notes every changed row (scrm.imports.service.journal). Without `scrm.import = on` a trigger
# costs a look at that setting and nothing more.
WATCHED = (
    'people', 'identities', 'identity_claims', 'blocked_values', 'person_values', 'person_fields', 'person_records',
    'person_matches', 'orders', 'order_lines', 'order_statuses', 'products', 'behaviour_events', 'event_keys',
    'audience_members',
)
NOTE = """
CREATE FUNCTION note_import_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO pg_temp.import_changes ("table", before, after) VALUES (
    TG_ARGV[0],
    CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END,
    CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END);
  RETURN NULL;
END $$
"""


def upgrade():
    op.create_table('import_templates',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('target', sa.Text(), nullable=False),
    sa.Column('mapping', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('made_by', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_import_templates')),
    sa.UniqueConstraint('name', name=op.f('uq_import_templates_name'))
    )
    op.create_table('imports',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('target', sa.Text(), nullable=False),
    sa.Column('state', sa.Enum('reading', 'ready', 'checking', 'checked', 'running', 'done', 'cancelled', 'undoing', 'undone', 'failed', name='importstate', native_enum=False, length=32), nullable=False),
    sa.Column('filename', sa.Text(), nullable=False),
    sa.Column('sha256', sa.Text(), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('sheet', sa.Text(), nullable=True),
    sa.Column('header_row', sa.BigInteger(), nullable=True),
    sa.Column('rows', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('chunks', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('columns', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
    sa.Column('mapping', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('source', sa.Text(), nullable=True),
    sa.Column('cursor', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('keyed', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('tally', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('done', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('samples', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('base', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('undo', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('undo_dry', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('worked_seconds', sa.Double(), server_default=sa.text('0'), nullable=False),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('made_by', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('forgotten_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_imports'))
    )
    op.create_index('ix_imports_sha256', 'imports', ['sha256'], unique=False)
    op.create_index('ix_imports_state', 'imports', ['state'], unique=False, postgresql_where=sa.text("state IN ('reading', 'checking', 'running', 'undoing')"))
    op.create_table('import_chunks',
    sa.Column('import_id', sa.BigInteger(), nullable=False),
    sa.Column('number', sa.BigInteger(), nullable=False),
    sa.Column('row_count', sa.BigInteger(), nullable=False),
    sa.Column('rows', sa.LargeBinary(), nullable=False),
    sa.Column('lead', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('repeated', sa.LargeBinary(), nullable=True),
    sa.Column('errors', sa.LargeBinary(), nullable=True),
    sa.Column('outcome', sa.LargeBinary(), nullable=True),
    sa.Column('journal', sa.LargeBinary(), nullable=True),
    sa.ForeignKeyConstraint(['import_id'], ['imports.id'], name=op.f('fk_import_chunks_import_id_imports'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('import_id', 'number', name=op.f('pk_import_chunks'))
    )
    op.create_table('import_pieces',
    sa.Column('import_id', sa.BigInteger(), nullable=False),
    sa.Column('number', sa.BigInteger(), nullable=False),
    sa.Column('content', sa.LargeBinary(), nullable=False),
    sa.ForeignKeyConstraint(['import_id'], ['imports.id'], name=op.f('fk_import_pieces_import_id_imports'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('import_id', 'number', name=op.f('pk_import_pieces'))
    )
    op.create_table('import_keys',
    sa.Column('import_id', sa.BigInteger(), nullable=False),
    sa.Column('digest', sa.BigInteger(), nullable=False),
    sa.Column('row', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['import_id'], ['imports.id'], name=op.f('fk_import_keys_import_id_imports'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('import_id', 'digest', name=op.f('pk_import_keys'))
    )
    op.add_column('blocked_values', sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False))
    op.create_unique_constraint(op.f('uq_blocked_values_id'), 'blocked_values', ['id'])
    op.add_column('blocked_values', sa.Column('note', sa.Text(), nullable=True))
    op.add_column('blocked_values', sa.Column('person_id', sa.BigInteger(), nullable=True))
    op.execute(NOTE)
    for table in WATCHED:
        op.execute(f"""
            CREATE TRIGGER note_import_change AFTER INSERT OR UPDATE OR DELETE ON "{table}"
            FOR EACH ROW WHEN (current_setting('scrm.import', true) = 'on')
            EXECUTE FUNCTION note_import_change('{table}')
        """)


def downgrade():
    for table in WATCHED:
        op.execute(f'DROP TRIGGER note_import_change ON "{table}"')
    op.execute('DROP FUNCTION note_import_change()')
    op.drop_column('blocked_values', 'person_id')
    op.drop_column('blocked_values', 'note')
    op.drop_constraint(op.f('uq_blocked_values_id'), 'blocked_values', type_='unique')
    op.drop_column('blocked_values', 'id')
    op.drop_table('import_keys')
    op.drop_table('import_pieces')
    op.drop_table('import_chunks')
    op.drop_index('ix_imports_state', table_name='imports', postgresql_where=sa.text("state IN ('reading', 'checking', 'running', 'undoing')"))
    op.drop_index('ix_imports_sha256', table_name='imports')
    op.drop_table('imports')
    op.drop_table('import_templates')
