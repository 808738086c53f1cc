"""`scrm webhooks`: the same as the API, from the command line."""

import json

import pytest
from sqlalchemy import text

from scrm.cli.webhooks import webhooks_group
from scrm.kernel.db import transaction
from scrm.webhooks.service.noting import News, note
from tests.scrm.webhooks.conftest import deliver_all, deliveries, subscribe_to


@pytest.fixture
def scrm(run_here):
    """Run a subcommand on the test's own session: (exit code, stdout)."""
    return lambda *arguments: run_here(webhooks_group, *arguments)[:2]


@pytest.fixture
def failed(session, app, receiver):
    """An endpoint, and two deliveries that failed for good."""
    id_, _ = subscribe_to(receiver.url, "broadcast.*")
    receiver.answer = lambda _: 500
    with transaction():
        note([News("broadcast.frozen", common={"broadcast_id": n}) for n in (1, 2)])
    session.execute(text("UPDATE webhook_deliveries SET attempts = 9"))
    deliver_all(app)
    receiver.answer = lambda _: 200
    return id_


def test_a_delivery_is_shown_with_what_came_of_each_attempt(scrm, failed):
    id_ = deliveries()[0].id
    scrm("redeliver", id_)
    code, told = scrm("show", id_, "--json")
    assert code == 0
    shown = json.loads(told)
    assert [(each["status"], each["error"]) for each in shown["tries"]] == [(500, "answered 500")]
    assert shown["data"]["broadcast_id"] in (1, 2)
    assert "1 attempts" in scrm("show", id_)[1]


def test_endpoints_and_deliveries_are_listed_without_secrets(scrm, failed):
    code, told = scrm("list", "--json")
    assert (code, [row["id"] for row in json.loads(told)]) == (0, [failed])
    assert "whsec_" not in told
    rows = json.loads(scrm("deliveries", "--endpoint", failed, "--state", "failed", "--json")[1])
    assert [(row["type"], row["status"]) for row in rows] == [("broadcast.frozen", 500)] * 2
    assert json.loads(scrm("deliveries", "--since", "2999-01-01", "--json")[1]) == []
    assert "answered 500" in scrm("deliveries")[1]
    assert "broadcast.*" in scrm("list")[1]


def test_what_failed_is_sent_again_by_id_or_since_a_time(scrm, failed, app, receiver):
    first = deliveries()[0].id
    assert json.loads(scrm("redeliver", first, "--json")[1]) == {"redelivered": 1}
    deliver_all(app)
    assert [row.state for row in deliveries()] == ["delivered", "failed"]
    code, told = scrm("redeliver", "--endpoint", failed, "--since", "2020-01-01")
    assert (code, told) == (0, "1 deliveries will be sent again\n")
    deliver_all(app)
    assert [row.state for row in deliveries()] == ["delivered", "delivered"]
    again = ("redeliver", "--endpoint", failed, "--since", "2020-01-01", "--json")
    assert json.loads(scrm(*again)[1]) == {"redelivered": 0}
    assert json.loads(scrm(*again, "--delivered")[1]) == {"redelivered": 2}


def test_half_a_question_is_wrong_use(scrm, failed):
    assert scrm("redeliver")[0] == 2
    assert scrm("redeliver", "--endpoint", failed)[0] == 2
    assert scrm("redeliver", "1", "--endpoint", failed, "--since", "2020-01-01")[0] == 2
    assert scrm("redeliver", "999999")[0] == 1
