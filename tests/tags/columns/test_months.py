"""Which months of orders have rows: from the index, month by month."""

from datetime import UTC, date, datetime, timedelta

from sqlalchemy import text

from tags.columns.queries.months import months_with_rows
from tags.columns.service.shelf import Source
from tests.tags.columns.facts import order

MONTH = timedelta(microseconds=1)


def test_months_begin_in_utc_and_end_before_the_next(session):
    assert months_with_rows(Source.ORDERS) == set()
    edge = datetime(2026, 1, 1, tzinfo=UTC)
    for moment in (datetime(2023, 2, 28, 23, 59, tzinfo=UTC), edge - MONTH, edge, edge + timedelta(days=40)):
        order(1, moment)
        order(2, moment)
    order(None, datetime(2020, 1, 1, tzinfo=UTC))
    session.execute(text("SET LOCAL TIME ZONE 'Asia/Shanghai'"))
    assert months_with_rows(Source.ORDERS) == {
        date(2023, 2, 1), date(2025, 12, 1), date(2026, 1, 1), date(2026, 2, 1),
    }  # fmt: skip


def test_no_table_is_read_for_it(session):
    rows = """INSERT INTO orders (source, source_id, person_id, status, status_at, placed_at)
    SELECT 's', i, i, 'placed', now(), CAST('2025-01-01' AS timestamptz) + i * interval '1 hour' FROM generate_series(1, 8000) i"""
    session.execute(text(rows))
    session.execute(text("ANALYZE orders"))
    read = text("SELECT seq_scan, idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'orders'")
    scanned, looked = session.execute(read).one()
    assert len(months_with_rows(Source.ORDERS)) == 11
    assert tuple(session.execute(read).one()) == (scanned, looked + 12), (
        "one look a month, and one for the end"
    )
