"""`scrm generate`: skewed, whole, the same for the same seed, and only into an empty database."""

from datetime import date, timedelta

import pytest
from sqlalchemy import func, select, text

from scrm.cli.company_data import behaviour, people
from scrm.cli.company_data.draws import persons, shares, zipf
from scrm.cli.company_data.loading import PARTS, load
from scrm.cli.company_data.size import Size
from scrm.cli.exits import Problem
from scrm.cli.supervision.folder import Folder
from scrm.customers.events import ContactFact, ContactRecorded
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import Base, transaction
from scrm.kernel.events import publish
from scrm.portraits.service import match_person_entries
from tags.catalog.service.refreshing import Listing, take_over
from tags.events import AssignmentMoved
from tests.conftest import empty_tables

SIZE = Size(customers=300, events=4000, orders=500, tags=20, seed=3, until=date(2026, 11, 20), timeline=True)


def rows(session, statement):
    return [tuple(row) for row in session.execute(text(statement))]


@pytest.fixture
def company(committed):
    load(SIZE, show=False)
    return committed


def test_everything_asked_for_is_there_and_fits_together(company):
    counted = {
        table: company.scalar(select(func.count()).select_from(Base.metadata.tables[table]))
        for table in ("customers", "customer_people", "behaviour_events", "event_keys", "orders", "tag_assignments")
    }  # fmt: skip
    assert counted == {
        "customers": 300, "customer_people": 300, "behaviour_events": 4000, "event_keys": 4000, "orders": 500,
        "tag_assignments": 6000,
    }  # fmt: skip
    assert rows(
        company, "SELECT DISTINCT count(DISTINCT tag_id) FROM tag_assignments GROUP BY customer_id"
    ) == [(20,)]
    for orphans in ORPHANS:
        assert rows(company, orphans) == [(0,)], orphans


ORPHANS = (
    "SELECT count(*) FROM follows f LEFT JOIN staff s ON s.id = f.staff_id WHERE s.id IS NULL",
    "SELECT count(*) FROM behaviour_events e LEFT JOIN people p ON p.id = e.person_id WHERE p.id IS NULL",
    "SELECT count(*) FROM tag_assignments a LEFT JOIN follows f USING (customer_id) WHERE f.id IS NULL",
    "SELECT count(*) FROM tag_assignments a JOIN follows f ON f.id = a.follow_id WHERE f.customer_id <> a.customer_id",
    "SELECT count(*) FROM orders o WHERE NOT EXISTS (SELECT FROM order_lines l WHERE l.order_id = o.id)",
    "SELECT count(*) FROM orders o WHERE amount <> (SELECT sum(amount) FROM order_lines l WHERE l.order_id = o.id)",
    "SELECT count(*) FROM order_lines WHERE product_id IS NULL",
    "SELECT count(*) FROM behaviour_events_default",
)


def test_a_wecom_that_knows_none_of_the_tags_takes_none_away(company):
    for later in (timedelta(0), timedelta(days=1)):
        with shifted(later), transaction():
            take_over(Listing(utcnow(), whole=True))
    assert rows(company, "SELECT count(*), count(deleted_at) FROM tags") == [(200, 0)]


def test_counts_of_days_equal_a_recount_in_the_zone_of_the_corp(company):
    differing = """SELECT count(*) FROM (
      SELECT type_id, person_id, CAST(timezone('Asia/Shanghai', at) AS date) AS day, count(*) FROM behaviour_events
      GROUP BY 1, 2, 3) a FULL JOIN event_days d USING (type_id, person_id, day) WHERE a.count IS DISTINCT FROM d.count"""
    assert rows(company, differing) == [(0,)]


def test_timelines_hold_what_the_live_system_writes_and_nothing_else(company):
    statement = "SELECT id, at, customer_id, kind, staff_id, details, source_key FROM timeline ORDER BY id"
    written, counted = rows(company, statement), rows(company, COUNTERS)
    with (
        transaction()
    ):  # told again, once-only entries that are there stay as they are, and any other would come
        match_person_entries(range(1, 301))
        for row in company.execute(text("SELECT * FROM follows")).all():
            facts = {
                ContactFact.ADDED: row.added_at, ContactFact.LOST_BY_CUSTOMER: row.deleted_by_customer_at,
                ContactFact.LOST_BY_STAFF: row.deleted_by_staff_at,
            }  # fmt: skip
            for fact, at in facts.items():
                if at is not None:
                    publish(ContactRecorded(row.id, row.customer_id, row.staff_id, fact, at))
        for row in company.execute(text("SELECT * FROM tag_assignments")).all():
            publish(AssignmentMoved(row.id, row.version, row.customer_id, row.follow_id, row.tag_id, True, "wecom",
                                    row.changed_at))  # fmt: skip
    assert rows(company, statement) == written
    assert rows(company, COUNTERS) == counted
    assert rows(company, RECOUNT) == counted
    kinds = {row[3] for row in written}
    assert {"follow.added", "tag.added", "event.done", "order.paid", "order.refunded"} < kinds
    assert rows(company, "SELECT count(DISTINCT customer_id) FROM timeline") == [(300,)]


COUNTERS = "SELECT customer_id, entries, last_entry_at FROM customer_counters ORDER BY 1"
RECOUNT = "SELECT customer_id, count(*), max(at) FROM timeline GROUP BY 1 ORDER BY 1"


def test_the_same_seed_gives_the_same_timelines(committed):
    size, found = Size(20, 200, 40, 3, 1, SIZE.until, timeline=True), []
    for _ in range(2):
        empty_tables()
        load(size, show=False)
        found.append(rows(committed, "SELECT id, at, customer_id, kind, details FROM timeline ORDER BY id"))
        committed.rollback()
    assert found[0] == found[1] != []


def test_timelines_are_left_out_when_nobody_wants_them(committed):
    load(Size(20, 100, 20, 3, 1, SIZE.until), show=False)
    assert rows(committed, COUNTERS) == rows(committed, RECOUNT) == []


def test_orders_are_what_their_statuses_say(company):
    differing = """SELECT count(*) FROM orders o JOIN (
      SELECT order_id, max(at) AS at, (array_agg(status ORDER BY at DESC, status = 'placed'))[1] AS status FROM order_statuses GROUP BY 1) s
      ON s.order_id = o.id WHERE (o.status_at, o.status) IS DISTINCT FROM (s.at, s.status)"""
    assert rows(company, differing) == [(0,)]


def test_all_indexes_are_there_again_and_new_rows_get_new_ids(company, app):
    from scrm.kernel.schema import schema_differences

    assert schema_differences() == []
    assert rows(company, "INSERT INTO customers (external_userid) VALUES ('wm') RETURNING id") == [(301,)]


def test_keys_indexes_and_what_may_not_be_null_are_as_before(committed):
    before = [rows(committed, statement) for statement in STRUCTURE]
    committed.commit()
    load(Size(20, 100, 20, 3, 1, SIZE.until), show=False)
    assert [rows(committed, statement) for statement in STRUCTURE] == before


STRUCTURE = (
    """SELECT CAST(CAST(conrelid AS regclass) AS text), conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE contype IN ('p', 'u', 'f', 'c') AND connamespace = CAST('public' AS regnamespace)
      AND NOT (SELECT relispartition FROM pg_class c WHERE c.oid = conrelid) ORDER BY 1, 2""",
    # PostgreSQL writes a condition it has read once more with its casts in other places.
    r"""SELECT tablename, indexname, regexp_replace(indexdef, '::(character varying|text)(\[\])?|[()]| ONLY', '', 'g') FROM pg_indexes WHERE schemaname = 'public' AND NOT
      (SELECT relispartition FROM pg_class c WHERE c.oid = CAST(quote_ident(schemaname) || '.' || quote_ident(tablename) AS regclass)) ORDER BY 1, 2""",
    """SELECT table_name, column_name FROM information_schema.columns
    WHERE table_schema = 'public' AND is_nullable = 'NO' AND table_name !~ '_[0-9]{4}_[0-9]{2}$' ORDER BY 1, 2""",
)


def test_a_database_with_rows_is_refused_and_left_alone(company):
    with pytest.raises(Problem, match="empty"):
        load(SIZE, show=False)
    assert rows(company, "SELECT count(*) FROM customers") == [(300,)]


def test_a_failure_leaves_nothing_behind(committed, monkeypatch):
    monkeypatch.setattr(behaviour, "DERIVED", ("SELECT 1 / 0",))
    with pytest.raises(Exception, match="division by zero"):
        load(SIZE, show=False)
    assert rows(committed, "SELECT count(*) FROM customers") == [(0,)]
    assert rows(committed, "SELECT count(*) FROM pg_indexes WHERE indexname = 'ix_follows_added_at'") == [
        (1,)
    ]


def test_the_same_seed_gives_the_same_lines_and_another_one_others():
    other = Size(300, 4000, 500, 20, 4, SIZE.until)
    drawn = {"customers", "follows", "tag_assignments", "identities", "behaviour_events", "generated_orders"}
    for part in PARTS:
        lines = list(part.lines(SIZE))
        assert lines == list(part.lines(SIZE))
        assert (lines != list(part.lines(other))) == (part.table in drawn or part.table.startswith("person_"))


def test_few_products_sell_well_and_few_people_do_much():
    places = zipf(1000)
    assert places.count(0) > 50 * places.count(500)
    chooser = SIZE.chooser("test")
    draw = persons(chooser, 1000)
    drawn = [draw() for _ in range(20_000)]
    busiest = sorted((drawn.count(n) for n in set(drawn)), reverse=True)[:100]
    assert 0.25 < sum(busiest) / 20_000 < 0.5
    assert min(drawn) >= 1
    assert max(drawn) <= 1000


def test_sales_days_stand_out_and_every_row_gets_a_day():
    by_day = dict(shares(100_000, date(2026, 11, 20), 365))
    assert sum(by_day.values()) == 100_000
    assert by_day[date(2026, 11, 11)] > 3 * by_day[date(2026, 11, 4)]


def test_no_phone_is_two_peoples():
    assert len({people.phone(n) for n in range(1, 20_001)}) == 20_000


@pytest.mark.fault
def test_where_no_stores_are_configured_it_brings_those_of_the_folder(run, tmp_path):
    little = ("generate", "--customers", "20", "--events", "100", "--orders", "10", "--quiet")
    made = run(*little)
    assert (made.returncode, made.stderr) == (0, "")
    assert f"the data lies in {tmp_path / 'var'}" in made.stdout
    again = run(*little)
    assert (again.returncode, again.stdout) == (1, "")
    assert "generate into an empty one" in again.stderr
    with Folder(tmp_path / "var").held():
        held = run(*little)
    assert held.returncode == 2
    assert "holds the folder" in held.stderr
