"""Three ways of asking PostgreSQL about tags, side by side: EXISTS, IN, and set operations (docs/conditions.md)."""

import statistics
import tempfile
import time
from pathlib import Path

import psycopg

from scrm.cli.stores import Postgres, running

HELD = "state IN ('active', 'pending_add')"
MAKE = [
    "CREATE TABLE c (id bigint PRIMARY KEY)",
    "INSERT INTO c SELECT generate_series(1, 200000)",
    "CREATE TABLE a (customer_id bigint, tag_id bigint, state text)",
    "INSERT INTO a SELECT i, (random() ^ 2 * 200)::int + 1, 'active' FROM generate_series(1, 200000) i, generate_series(1, 10)",
    f"CREATE INDEX ON a (tag_id, customer_id) WHERE {HELD}",
    "CREATE INDEX ON a (customer_id)",
    "VACUUM ANALYZE",
    "SET jit = off",
]
PAIRS = (1, 3, 5, 7, 9)


def exists(tag):
    return f"EXISTS (SELECT 1 FROM a WHERE a.customer_id = c.id AND tag_id = {tag} AND {HELD})"


def within(tag):
    return f"c.id IN (SELECT customer_id FROM a WHERE tag_id = {tag} AND {HELD})"


def ids(tag):
    return f"SELECT customer_id FROM a WHERE tag_id = {tag} AND {HELD}"


def questions():
    """Name of the tree and of the way → statement."""
    for way, has in (("exists", exists), ("in", within)):
        yield f"and, {way}", f"SELECT count(*) FROM c WHERE {has(3)} AND {has(5)} AND NOT {has(9)}"
        yield (
            f"or, {way}",
            f"SELECT count(*) FROM c WHERE ({has(3)} OR {has(50)}) AND ({has(5)} OR NOT {has(9)})",
        )
        yield (
            f"ten, {way}",
            "SELECT count(*) FROM c WHERE " + " AND ".join(f"({has(t)} OR {has(t + 1)})" for t in PAIRS),
        )
    yield "and, sets", f"SELECT count(*) FROM (({ids(3)} INTERSECT {ids(5)}) EXCEPT {ids(9)}) x"
    either = f"({ids(3)} UNION {ids(50)}) INTERSECT ({ids(5)} UNION (SELECT id FROM c EXCEPT {ids(9)}))"
    yield "or, sets", f"SELECT count(*) FROM ({either}) x"
    yield (
        "ten, sets",
        "SELECT count(*) FROM ("
        + " INTERSECT ".join(f"({ids(t)} UNION {ids(t + 1)})" for t in PAIRS)
        + ") x",
    )


def main():
    """Print the median of five of each."""
    with tempfile.TemporaryDirectory() as folder:
        store = Postgres(Path(folder) / "pg", durable=False)
        with running(store), psycopg.connect(store.dsn(), autocommit=True) as connection:
            for statement in MAKE:
                connection.execute(statement)
            for name, statement in questions():
                times = []
                for _ in range(5):
                    begin = time.perf_counter()
                    [found] = connection.execute(statement).fetchone()
                    times.append(time.perf_counter() - begin)
                print(f"{name:12} {statistics.median(times) * 1000:6.0f} ms  {found}")


if __name__ == "__main__":
    main()
