"""Many threads ask while the copy is replaced again and again."""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from sqlalchemy import text

from scrm.kernel import metrics
from scrm.kernel.clock import utcnow
from scrm.kernel.db import db, transaction
from tags.columns import jobs
from tags.columns.service.reading import reader
from tags.columns.service.shelf import folder, read_copy
from tags.sets.service.normal_form import set_leaf
from tests.tags.columns.copying import whole_set

PERSONS, ACTIVE, ROUNDS, ASKERS = 60, 20, 8, 4
WRITE = (
    "INSERT INTO people (id) OVERRIDING SYSTEM VALUE SELECT generate_series(1, :persons)",
    "INSERT INTO customers (external_userid) SELECT 'wm' || i FROM generate_series(1, :persons) i",
    "INSERT INTO customer_people SELECT id, row_number() OVER (ORDER BY id) FROM customers",
    """INSERT INTO behaviour_events (at, person_id, type_id, properties, source, source_id)
    SELECT timestamptz '2026-04-02Z' + i % 50 * interval '1 day', 1 + i % :active, 1, '{}', 's', 'x' || i
    FROM generate_series(1, 400) i""",
)


def open_files():
    """Files of the copy that this process holds open, also removed ones."""
    told = []
    for number in os.listdir("/proc/self/fd"):
        try:
            told.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:
            continue  # that of the listing itself
    return {name for name in told if name.startswith(str(folder()))}


def test_answers_stay_right_and_no_file_stays_open(build, committed, app):
    """In each round one who did something hands it all to one who did nothing: at any moment as many did something."""
    for statement in WRITE:
        committed.execute(text(statement), {"persons": PERSONS, "active": ACTIVE})
    build()
    key, over = set_leaf({"kind": "event", "event_type_id": 1}).key, Event()

    def ask():
        counts = []
        with app.app_context():
            while not over.is_set():
                with transaction():
                    counts.append(len(whole_set(key, utcnow())))
        return counts

    of_copy = metrics.COLUMNS_ASKED.labels("yes")
    before = of_copy._value.get()
    with ThreadPoolExecutor(ASKERS) as threads:
        asked = [threads.submit(ask) for _ in range(ASKERS)]
        try:
            for number in range(1, ROUNDS + 1):
                hand_over = "UPDATE behaviour_events SET person_id = :other WHERE person_id = :one"
                with db.engine.begin() as other:
                    other.execute(text(hand_over), {"one": number, "other": ACTIVE + number})
                jobs.write_everything(lambda done, parts: None)
        finally:
            over.set()
        counts = [count for each in asked for count in each.result()]
    assert set(counts) == {ACTIVE}
    assert of_copy._value.get() - before > len(counts) / 2, "the copy was hardly asked"
    copy = reader().copy()
    assert open_files() == {str(folder() / each.file) for each in read_copy().chunks}
    assert copy == read_copy()
