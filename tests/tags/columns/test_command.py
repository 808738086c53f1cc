"""`scrm columns`: what is there, made, checked, removed."""

import json
from contextlib import nullcontext
from datetime import UTC, datetime

import duckdb
import pytest
from click.testing import CliRunner
from sqlalchemy import text

from scrm.cli import application
from scrm.cli.columns import columns as command
from scrm.kernel import metrics
from scrm.kernel.db import db
from tags.columns import jobs
from tags.columns.service import laying
from tags.columns.service.shelf import Source, folder, read_copy
from tests.tags.columns.facts import event, event_type, order

MAY = datetime(2026, 5, 3, 12, tzinfo=UTC)


class Here:
    def app_context(self):
        return nullcontext()


@pytest.fixture
def scrm(build, committed, settings, monkeypatch):
    """Run the command on what the test wrote: (exit code, what was printed)."""
    monkeypatch.setattr(application, "application", lambda *_, **__: Here())
    monkeypatch.setattr(application, "attached_settings", lambda: settings)

    def run(*arguments):
        committed.commit()
        result = CliRunner().invoke(command, arguments)
        return result.exit_code, json.loads(result.stdout) if "--json" in arguments else result.output

    return run


def test_it_is_made_shown_and_removed(scrm):
    event(1, MAY)
    order(1, MAY)
    assert scrm("--json") == (0, {"parts": [], "bytes": 0})
    code, told = scrm("--refresh", "--json")
    assert (code, told["written"]) == (0, 3)
    event(2, MAY)
    event(3, MAY)
    assert [
        (row["source"], row["month"], row["rows"], row["changed"]) for row in scrm("--json")[1]["parts"]
    ] == [
        ("behaviour_events", "2026-05", 1, 2),
        ("orders", "2026-05", 1, 0),
        ("customer_people", None, 0, 0),
    ]
    assert "2026-05" in scrm()[1]
    assert scrm("--refresh", "--json")[1]["written"] == 1
    assert scrm("--forget", "--json") == (0, {"forgotten": 3, "parts": [], "bytes": 0})
    assert list(folder().iterdir()) == []
    assert scrm("--forget", "--refresh")[0] == 2


def test_parts_are_compared_with_postgresql(scrm, build):
    type_id = event_type(t="text", n="number", b="boolean", w="time")
    event(1, MAY, type_id, t="中", n=1.5, b=True, w="2026-05-01T10:00:00+00:00")
    event(2, MAY, type_id)
    order(1, MAY, amount=12, currency="CNY", paid_at=MAY)
    copy = build()
    event(3, MAY, type_id, t="changed since")
    event(3, MAY, 99)
    assert scrm("--check", "9", "--json")[1]["wrong"] == {}
    (chunk,) = copy.of(Source.EVENTS)
    with duckdb.connect(str(folder() / chunk.file)) as connection:
        connection.execute(f"UPDATE events_{type_id} SET p_t = '国' WHERE person_id = 1")  # noqa: S608  # our own name
    before = metrics.COLUMNS_DRIFT._value.get()
    code, told = scrm("--check", "9", "--json")
    assert (code, told["checked"], told["skipped"]) == (1, 3, 0)
    assert told["wrong"] == {chunk.file: [f"events_{type_id}.p_t"]}
    assert metrics.COLUMNS_DRIFT._value.get() == before + 1


def test_rows_that_nobody_noted_are_found(scrm, build):
    event(1, MAY, 1)
    order(1, MAY)
    copy = build()
    with db.engine.begin() as other:
        other.execute(text("SET LOCAL session_replication_role = replica"))
        other.execute(
            text(
                "INSERT INTO behaviour_events SELECT id + 1, at, person_id, 2, properties, source, 'x' FROM behaviour_events"
            )
        )
        other.execute(text("UPDATE orders SET shop = 'other'"))
    told = scrm("--check", "9", "--json")[1]["wrong"]
    assert told == {
        copy.of(Source.EVENTS)[0].file: ["events_2"],
        copy.of(Source.ORDERS)[0].file: ["orders.shop"],
    }


def test_it_waits_for_no_worker(scrm):
    with jobs.leader(jobs.LOCK):
        code, told = scrm("--refresh")
    assert (code, "try again" in told) == (1, True)
    assert read_copy() is None


def test_nothing_is_made_where_it_is_switched_off(scrm, columns):
    columns(enabled=False)
    code, told = scrm("--refresh")
    assert (code, "columns.enabled" in told) == (1, True)
    assert read_copy() is None


def test_what_could_not_be_written_is_named(scrm, monkeypatch):
    event(1, MAY, event_type(long="text"), long="x" * 10_000)
    order(1, MAY)
    monkeypatch.setattr(laying, "LONGEST_LINE", 1000)
    code, told = scrm("--refresh")
    assert (code, "behaviour_events 2026-05" in told) == (1, True)
    assert [each.source for each in read_copy().chunks] == [Source.PEOPLE, Source.ORDERS]
