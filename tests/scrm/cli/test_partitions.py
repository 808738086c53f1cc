"""`scrm partitions`: months are listed, detached and attached again, with the figures beside them put right."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import text

from scrm.cli.partitions import partitions_group
from scrm.kernel.db import transaction
from scrm.kernel.detaching import detach_month, newest_detachable
from scrm.kernel.partitions import make_months, month_after


@pytest.fixture
def scrm(run_here):
    """Run a subcommand: (exit code, stdout)."""
    return lambda *arguments: run_here(partitions_group, *arguments)[:2]


@pytest.fixture
def month(session):
    """A month long ago with one event and its count."""
    first = month_after(newest_detachable(), -5)
    with transaction():
        make_months(session.connection(), [first])
        session.execute(
            text("""INSERT INTO behaviour_events (at, person_id, type_id, properties, source, source_id)
              VALUES (:at, 1, 1, '{}', 'mall', 'e1')"""),
            {"at": f"{first} 12:00+00"},
        )
        session.execute(text("INSERT INTO event_days VALUES (1, 1, :day, 1)"), {"day": first})
    return first


def days(session):
    return session.scalar(text("SELECT count(*) FROM event_days"))


def states(scrm, month):
    rows = json.loads(scrm("list", "--json")[1])
    return {row["table"]: row["state"] for row in rows if row["month"] == f"{month:%Y-%m}"}


def test_months_go_and_come_back(scrm, session, month):
    both = {"behaviour_events": "attached", "timeline": "attached"}
    assert states(scrm, month) == both
    before = f"{month_after(month, 1):%Y-%m}"
    planned = json.loads(scrm("detach", "--before", before, "--dry-run", "--json")[1])
    assert {row["table"] for row in planned if row["month"] == f"{month:%Y-%m}"} == set(both)
    assert (states(scrm, month), days(session)) == (both, 1)
    assert scrm("detach", "--before", before)[0] == 0
    assert (states(scrm, month), days(session)) == (dict.fromkeys(both, "detached"), 0)
    assert scrm("attach", f"{month:%Y-%m}", "--table", "behaviour_events")[0] == 0
    assert (states(scrm, month), days(session)) == (both | {"timeline": "detached"}, 1)
    session.execute(text(f"DROP TABLE timeline_{month:%Y_%m}"))
    assert states(scrm, month) == both | {"timeline": "dropped"}


def test_a_month_that_was_dropped_before_its_figures_were_put_right_does_not_stop_the_next(
    scrm, session, month
):
    follower = month_after(month, 1)
    with transaction():  # the last day in Shanghai ends in the next month of UTC
        make_months(session.connection(), [follower])
        session.execute(
            text("""INSERT INTO behaviour_events (at, person_id, type_id, properties, source, source_id)
              VALUES (:late, 1, 1, '{}', 'mall', 'e2'), (:night, 1, 1, '{}', 'mall', 'e3')"""),
            {"late": f"{follower} 15:59+00", "night": f"{follower - timedelta(days=1)} 23:00+00"},
        )
        session.execute(text("INSERT INTO event_days VALUES (1, 1, :day, 2)"), {"day": follower})
        detach_month("behaviour_events", month)  # and killed
        session.execute(text(f"DROP TABLE behaviour_events_{month:%Y_%m}"))
    assert scrm("detach", "--before", f"{month:%Y-%m}")[0] == 0
    assert states(scrm, month)["behaviour_events"] == "dropped"
    assert session.execute(text("SELECT day, count FROM event_days")).all() == [(follower, 1)]


def test_what_cannot_be_is_said(scrm, session, month):
    assert scrm("detach", "--before", f"{month_after(newest_detachable(), 1):%Y-%m}")[0] == 2
    assert scrm("detach", "--before", "soon")[0] == 2
    assert scrm("list", "--table", "orders")[0] == 2
    assert scrm("attach", f"{month:%Y-%m}")[0] == 1
