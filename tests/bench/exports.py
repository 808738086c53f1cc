"""The company's rows as CSV files, which the rivals load outside of every timing.

Times are in UTC, without a zone; the registered properties of events have a typed column each, as somebody would make
them who loads events for analysis.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.progress import Progress

UTC = "timezone('UTC', date_trunc('second', {}))"
PROPERTIES = {
    "page": "text", "seconds": "decimal", "sku": "text", "category": "text", "price": "decimal", "coupon": "text",
    "amount": "decimal", "shop": "text", "topic": "text",
}  # fmt: skip
TABLES: dict[str, tuple[dict[str, str], str, str]] = {
    "customers": (
        {"id": "id", "gender": "small"},
        "SELECT id, gender FROM customers",
        "id",
    ),
    "customer_people": (
        {"customer_id": "id", "person_id": "id"},
        "SELECT customer_id, person_id FROM customer_people",
        "person_id",
    ),
    "follows": (
        {"customer_id": "id", "staff_id": "id", "status": "text", "added_at": "moment", "add_way": "small"},
        f"SELECT customer_id, staff_id, status, {UTC.format('added_at')}, add_way FROM follows",
        "customer_id",
    ),
    "customer_tags": (
        {"customer_id": "id", "tag_id": "id"},
        "SELECT DISTINCT customer_id, tag_id FROM tag_assignments WHERE state IN ('active', 'pending_add')",
        "tag_id, customer_id",
    ),
    "people": (
        {"person_id": "id", "gender": "text", "birthday": "text", "city": "text"},
        """SELECT p.id, g.value_text, b.value_text, a.value ->> 'city' FROM people p
        LEFT JOIN person_fields g ON g.person_id = p.id AND g.field = 'gender'
        LEFT JOIN person_fields b ON b.person_id = p.id AND b.field = 'birthday'
        LEFT JOIN person_fields a ON a.person_id = p.id AND a.field = 'address'""",
        "person_id",
    ),
    "events": (
        {"person_id": "id", "type_id": "small", "moment": "moment", **PROPERTIES},
        f"SELECT person_id, type_id, {UTC.format('at')}, "
        + ", ".join(f"properties ->> '{key}'" for key in PROPERTIES)
        + " FROM behaviour_events",
        "type_id, moment",
    ),
    "orders": (
        {
            "person_id": "id",
            "placed_at": "moment",
            "paid_at": "moment",
            "amount": "money",
            "currency": "text",
        },
        f"SELECT person_id, {UTC.format('placed_at')}, {UTC.format('paid_at')}, amount, currency FROM orders",
        "paid_at",
    ),
}
"""Table → columns with their types, the question to our own tables, and the order in which a rival keeps the rows."""


def export(dsn: str, folder: Path) -> None:
    """Write ``<table>.csv`` of every table into ``folder``, with a progress bar over the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    with Progress(console=Console(stderr=True)) as bar, psycopg.connect(dsn) as connection:
        task = bar.add_task("exporting", total=len(TABLES))
        connection.execute("SET work_mem = '256MB'")
        for name, (_, question, _) in TABLES.items():
            _copy(connection, question, folder / f"{name}.csv")
            bar.advance(task)


def _copy(connection: psycopg.Connection[Any], question: str, path: Path) -> None:
    with (
        path.open("wb") as out,
        connection.cursor() as cursor,
        cursor.copy(f"COPY ({question}) TO STDOUT (FORMAT csv)") as rows,
    ):
        for block in rows:
            out.write(block)
