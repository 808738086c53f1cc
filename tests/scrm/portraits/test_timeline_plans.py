"""A page of a long timeline reads a page's worth of rows, by the index, of the months that can hold them."""

import json
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from scrm.kernel.partitions import make_months, month_after
from scrm.portraits.queries import EPOCH, MICROSECOND, entry_list

MONTHS, ENTRIES, LIMIT = 12, 10_000, 21
FIRST = datetime(2026, 11, 1, tzinfo=UTC).date()
SEED = """
INSERT INTO timeline (at, customer_id, kind, details, source_key)
SELECT CAST(:first AS date) - n % (:months * 28) * interval '1 day' - n * interval '1 second',
  CASE WHEN n <= :entries THEN 1 ELSE 2 + n % 50 END,
  CASE n % 10 WHEN 0 THEN 'order.paid' ELSE 'message.in' END, '{}', 'k' || n
FROM generate_series(1, :entries * 2) n
"""

VACUUMED = "UPDATE pg_class SET relallvisible = relpages WHERE relname ~ '^timeline_' AND relkind = 'r'"


@pytest.fixture
def long(session):
    """A customer with 10,000 entries over a year, beside 50 with 200 each."""
    make_months(session.connection(), [month_after(FIRST, -n) for n in range(MONTHS + 1)])
    session.execute(text(SEED), {"first": FIRST, "months": MONTHS, "entries": ENTRIES})
    session.execute(text("ANALYZE timeline"))


def scans(session, filters):
    """(relation, kind of node, rows that it gave) of every scan of a page's plan that ran."""
    statement = entry_list(1, filters, LIMIT)
    sql = statement.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    plan = session.scalar(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {str(sql).replace(':', chr(92) + ':')}"))
    found = []

    def walk(node):
        if "Relation Name" in node and node["Actual Loops"]:
            read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            found.append((node["Relation Name"], node["Node Type"], read))
        for child in node.get("Plans", ()):
            walk(child)

    walk((plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"])
    return found


def cursor(day):
    at = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return f"{(at - EPOCH) // MICROSECOND}.1"


@pytest.mark.parametrize("filters", [{}, {"kind": "order.paid"}, {"kinds": ["order."]}], ids=str)
@pytest.mark.parametrize("months", [0, 6])
def test_a_page_reads_few_rows_by_the_index(session, long, months, filters):
    after = month_after(FIRST, -months)
    read = scans(session, {"cursor": cursor(after), **filters})
    names = {name for name, _, _ in read}
    assert not {name for name in names if name[-7:].replace("_", "-") > f"{after:%Y-%m}"} - {
        "timeline_default"
    }
    assert {kind for _, kind, rows in read if rows} <= {"Index Only Scan", "Index Scan"}, read
    per_row = 12 if filters else 1  # one in ten is an order
    assert sum(rows for _, _, rows in read) <= (LIMIT + len(names)) * per_row * 2
    assert sum(rows for _, kind, rows in read if kind == "Index Scan") <= LIMIT + len(names)


@pytest.mark.parametrize("filters", [{"kind": "follow.lost"}, {"kinds": ["follow."], "staff_id": 3}], ids=str)
def test_what_is_rare_is_looked_for_in_the_index_and_nothing_else_is_fetched(session, long, filters):
    session.execute(
        text("UPDATE timeline SET kind = 'follow.lost', staff_id = 3 WHERE source_key IN ('k77', 'k7777')")
    )
    session.execute(text(VACUUMED))
    read = scans(session, filters)
    assert sum(rows for _, kind, rows in read if kind == "Index Only Scan") >= ENTRIES
    assert sum(rows for _, kind, rows in read if kind != "Index Only Scan") == 2, read


def test_two_days_are_looked_for_in_one_month(session, long):
    day = datetime(2026, 6, 10, tzinfo=UTC)
    read = scans(session, {"from_": day, "to": day.replace(day=12)})
    assert {name for name, _, _ in read} <= {"timeline_2026_06", "timeline_default"}
