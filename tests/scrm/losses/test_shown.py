"""Losses and alerts on the overview page, in the metrics and on the command line."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import text

from scrm.alerts.service import Alert, alert
from scrm.cli.losses import losses as command
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.losses.jobs import tell_losses
from scrm.web.collector import exposition
from scrm.web.queries import overview
from tests.scrm.losses.conftest import deleted, left, record


@pytest.fixture
def bad_day(people, configure, session):
    configure(losses={"alarm_count": 2, "alarm_minutes": 10.0, "told_when_member_deletes": ()})
    record(deleted(0, "x"), deleted(1, "y"), left(1, "w"))
    tell_losses()
    with transaction():
        alert([Alert("sync_stopped", "s", "停", "stopped", operators=True)])
        session.execute(
            text("UPDATE alerts SET created_at = now()")
        )  # the page asks the database for the time


def test_the_overview_shows_alarms_and_alerts_that_reached_nobody(bad_day):
    shown = overview()
    rows = {row["what"].rpartition(" ")[0]: (row["kind"], row["why"]) for row in shown["errors"]}
    assert rows["loss alarm"][1].startswith("2 deletions by staff ")
    assert rows["alert"] == ("sync_stopped", "no receiver")
    states = {row["state"]: row["n"] for row in shown["states"]["alerts"]}
    assert states == {"pending": 2, "silenced (no receiver)": 1}


def test_metrics_count_alerts_by_state(bad_day):
    lines = exposition().decode().splitlines()
    assert 'scrm_alerts{state="pending"} 2.0' in lines
    assert 'scrm_alerts{state="silenced (no receiver)"} 1.0' in lines


@pytest.fixture
def scrm_losses(monkeypatch, app):
    """The command in this process, on this test's database."""
    from click.testing import CliRunner

    monkeypatch.setattr("scrm.cli.application.attached_settings", lambda: None)
    monkeypatch.setattr("scrm.cli.application.application", lambda *_, **__: app)
    return lambda *arguments: CliRunner().invoke(command, arguments, catch_exceptions=False).output


def test_the_command_prints_losses_by_member_and_open_alarms(bad_day, scrm_losses):
    assert utcnow().year == 2026
    found = json.loads(scrm_losses("--json", "--days", "1"))
    assert [(row["userid"], row["losses"], row["by_staff"]) for row in found["by_staff"]] == [("zs", 3, 2)]
    assert [(row["userid"], row["deletions"]) for row in found["open_alarms"]] == [("zs", 2)]
    printed = scrm_losses()
    assert "3 losses in 7 days: 1 left, 2 were deleted" in printed
    assert "zs deleted 2 customers" in printed
