"""kill -9 of a worker in the middle of an export, just after the file was kept, and in the middle of a copy onto a list:
the file is whole, each row once, and each customer is on the list."""

from __future__ import annotations

import csv
import signal

import pytest

from tests.stack import Stack, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]
WORKER = "worker:background"
PEOPLE = 12_000  # three parts
EXPORT = """
INSERT INTO audience_exports (audience_id, audience_name, format, language, columns, plain, masked, hidden, made_by, expires_at)
SELECT id, name, 'csv', 'en', '{external_userid,name}', '{}', '{}', '{}', 'test', now() + interval '1 day' FROM audiences
RETURNING id
"""


@pytest.mark.parametrize("place", ["export_part", "export_kept"])
def test_a_killed_worker_leaves_an_export_that_the_next_one_finishes(running, place):
    [[made]] = running.sql(EXPORT)
    running.start(WORKER, SCRM_CRASH_AT=place)
    assert running.wait_end(WORKER, 60) == -signal.SIGKILL
    assert running.sql("SELECT state FROM audience_exports WHERE id = %s", made) != [("ready",)]
    running.start(WORKER)

    def state():
        return running.sql("SELECT state, done, total, error FROM audience_exports WHERE id = %s", made)

    wait_until(lambda: state()[0][0] == "ready", 60, lambda: str(state()))
    running.kill(WORKER)
    assert state() == [("ready", PEOPLE, PEOPLE, None)]
    file = running.folder / "var" / "media" / "exports" / f"{made}.csv"
    rows = list(csv.reader(file.read_text(encoding="utf-8-sig").splitlines()))
    assert rows[0] == ["external_userid", "name"]
    assert sorted(row[0] for row in rows[1:]) == sorted(f"wm{i}" for i in range(PEOPLE))


def test_a_killed_worker_leaves_a_copy_onto_a_list_that_the_next_one_finishes(running):
    running.sql(
        "INSERT INTO customers (external_userid, name) SELECT 'm' || i, 'new' FROM generate_series(1, 50000) i"
    )
    new = '{"schema_version": 2, "kind": "field", "field": "customer.name", "op": "equals", "value": "new"}'
    [[id_]] = running.sql(
        "INSERT INTO audiences (kind, name, made_by) VALUES ('static', 'all', 'test') RETURNING id"
    )
    [[made]] = running.sql(
        "INSERT INTO audience_fills (audience_id, condition, made_by) VALUES (%s, %s, 'test') RETURNING id",
        id_,
        new,
    )

    def stands():
        return running.sql("SELECT state, done, added, total, error FROM audience_fills WHERE id = %s", made)

    running.start(WORKER, SCRM_CRASH_AT="fill_part")
    assert running.wait_end(WORKER, 60) == -signal.SIGKILL
    assert stands() == [("filling", 0, 0, 50_000, None)], "a part that was not committed does not count"
    running.start(WORKER)
    wait_until(lambda: stands()[0][0] == "done", 60, lambda: str(stands()))
    running.kill(WORKER)
    assert stands() == [("done", 50_000, 50_000, 50_000, None)]
    assert running.sql("SELECT count(*) FROM audience_members WHERE audience_id = %s", id_) == [(50_000,)]


@pytest.fixture(scope="module")
def running():
    with Stack(["clock"]) as stack:
        stack.sql(
            "INSERT INTO customers (external_userid, name) SELECT 'wm' || i, 'vip' FROM generate_series(0, %s) i",
            PEOPLE - 1,
        )
        vip = (
            '{"schema_version": 2, "kind": "field", "field": "customer.name", "op": "equals", "value": "vip"}'
        )
        stack.sql(
            "INSERT INTO audiences (kind, name, condition, made_by) VALUES ('tree', 'VIP', %s, 'test')", vip
        )
        yield stack
