"""Lines that came before their product are linked to it, however many there are."""

from sqlalchemy import func, select, text

from scrm.commerce.models import OrderLine
from scrm.commerce.service.products import link_lines

MANY = 15_000
WRITE = (
    "INSERT INTO products (source, source_id, name, version_at) VALUES ('s', 'p', 'p', now()), ('other', 'p', 'p', now())",
    """INSERT INTO orders (source, source_id, status, status_at, placed_at, shop)
    SELECT 's', 'o' || i, 'placed', now(), now(), '' FROM generate_series(1, :many) i""",
    "INSERT INTO order_lines (order_id, line_no, product_ref, quantity, amount) SELECT id, 1, 'p', 1, 1 FROM orders",
)


def test_many_lines_of_one_product_are_linked_in_one_go(session):
    """Each is found by its key: looked for among all lines of the product, they took the square of the time."""
    for statement in WRITE:
        session.execute(text(statement), {"many": MANY} if ":many" in statement else {})
    own, other = session.scalars(text("SELECT id FROM products ORDER BY source = 's' DESC"))
    session.execute(text("SET LOCAL statement_timeout = '3s'"))
    link_lines([own, other])
    linked = select(func.count()).where(OrderLine.product_id == own)
    assert session.scalar(linked) == MANY
