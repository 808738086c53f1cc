"""indexes that answer questions about everybody without their tables

Revision ID: 0010
Revises: 0009
"""
from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None

MONEY = ['amount', 'currency']


def upgrade():
    op.drop_index('ix_customer_people_person_id', table_name='customer_people')
    op.create_index('ix_customer_people_person_id', 'customer_people', ['person_id'], postgresql_include=['customer_id'])
    _orders(postgresql_include=MONEY)


def downgrade():
    _orders()
    op.drop_index('ix_customer_people_person_id', table_name='customer_people')
    op.create_index('ix_customer_people_person_id', 'customer_people', ['person_id'])


def _orders(**include):
    op.drop_index('ix_orders_person_id_placed_at', table_name='orders')
    op.create_index('ix_orders_person_id_placed_at', 'orders', ['person_id', 'placed_at'], **include)
    op.drop_index('ix_orders_person_id_paid_at', table_name='orders')
    op.create_index('ix_orders_person_id_paid_at', 'orders', ['person_id', 'paid_at'],
                    postgresql_where=sa.text('paid_at IS NOT NULL'), **include)
