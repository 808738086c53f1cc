"""Overview, sign-in, probes and the API description."""

from datetime import UTC, datetime, timedelta

import pytest
from openapi_spec_validator import validate
from rq import Queue as RqQueue
from rq.serializers import JSONSerializer
from sqlalchemy import text
from sqlalchemy.event import listen

from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import transaction
from scrm.web.queries import TOTALS, overview, queue_depths
from scrm.web.signin import new_signin_link

OPEN_ENDPOINTS = {
    "api-docs.openapi_json",
    "swagger_ui.show",
    "swagger_ui",
}  # made by libraries, open on purpose


@pytest.fixture
def link(session):
    with transaction():
        return new_signin_link("http://127.0.0.1:1")


def test_every_view_declares_its_permission_or_is_public_on_purpose(app):
    undeclared = [
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if not hasattr(app.view_functions[rule.endpoint], "__permission__")
        and rule.endpoint not in OPEN_ENDPOINTS
    ]
    assert undeclared == []


def test_the_overview_does_not_count_what_is_very_much(session, monkeypatch):
    monkeypatch.setattr("scrm.web.queries.ESTIMATED_FROM", 1000)
    many = "INSERT INTO customers (external_userid) SELECT 'wm' || n FROM generate_series(1, 3000) n"
    for statement in (many, "ANALYZE customers"):
        session.execute(text(statement))
    asked = []
    listen(session.connection(), "before_cursor_execute", lambda *args: asked.append(args[2]))
    assert overview()["totals"]["customers"] == 3000
    assert TOTALS["customers"] not in asked
    assert TOTALS["broadcasts"] in asked


def test_the_overview_tells_a_stranger_how_to_sign_in(session, app):
    answer = app.test_client().get("/")
    assert answer.status_code == 401
    assert "scrm signin" in answer.text


def test_a_sign_in_link_works_once(link, app):
    token = link.partition("#")[2]
    browser, other = app.test_client(), app.test_client()
    assert browser.post("/signin", data={"token": token}).status_code == 302
    assert browser.get("/").status_code == 200
    assert other.post("/signin", data={"token": token}).status_code == 401
    assert other.get("/overview.json").status_code == 401


def test_the_overview_shows_counts_queues_and_errors(link, app):
    browser = app.test_client()
    browser.post("/signin", data={"token": link.partition("#")[2]})
    page = browser.get("/").text
    assert "收件箱" in page
    assert "urgent" in page
    figures = browser.get("/overview.json").json
    assert figures["totals"]["customers"] == 0
    assert {row["queue"] for row in figures["queues"]} == {"urgent", "events", "broadcast", "background"}


@pytest.mark.parametrize(
    ("created", "shown"), [("2026-03-05 17:30Z", ["alert 1"]), ("2026-03-05 16:30Z", [])]
)
def test_days_of_the_overview_are_those_of_the_corps_zone_also_where_one_has_23_hours(
    session, configure, created, shown
):
    configure(corp={"timezone": "America/New_York"})
    failed = "VALUES (1, 'loss', 'k', '', '', 'failed', :created, :created)"
    session.execute(
        text(
            f"INSERT INTO alerts (id, kind, key, zh, en, state, due_at, created_at) OVERRIDING SYSTEM VALUE {failed}"
        ),
        {"created": created},
    )
    noon = datetime(2026, 3, 12, 16, 0, tzinfo=UTC)  # of New York; seven days ago it was 17:00 UTC
    with shifted(noon - utcnow()):
        assert [error["what"] for error in overview()["errors"]] == shown
    with shifted(
        noon - timedelta(days=3) - utcnow()
    ):  # the 9th at noon; two days ago it was the 7th at 17:00 UTC
        session.execute(text("UPDATE alerts SET created_at = '2026-03-07 16:30Z'"))
        assert overview()["states"]["alerts"] == []
        session.execute(text("UPDATE alerts SET created_at = '2026-03-07 17:30Z'"))
        assert [row["n"] for row in overview()["states"]["alerts"]] == [1]


def test_health_and_readiness(session, app):
    assert app.test_client().get("/healthz").json == {"status": "ok"}
    assert app.test_client().get("/readyz").json == {"status": "ok"}


def test_metrics_are_in_prometheus_format(session, app):
    told = app.test_client().get("/metrics").text
    assert 'scrm_queue_waiting{queue="urgent"} 0.0' in told


def test_a_queue_says_how_long_its_oldest_wake_up_has_waited(session, app, redis):
    queue = RqQueue("urgent", connection=redis, serializer=JSONSerializer)
    for seconds in (90, 5):
        job = queue.enqueue_call("scrm.kernel.jobs.perform", args=["nothing"])
        job.enqueued_at = utcnow() - timedelta(seconds=seconds)
        job.save()
    ages = {row["queue"]: (row["waiting"], round(row["age"])) for row in queue_depths()}
    assert ages == {"urgent": (2, 90), "events": (0, 0), "broadcast": (0, 0), "background": (0, 0)}
    assert 'scrm_queue_oldest_seconds{queue="urgent"} 9' in app.test_client().get("/metrics").text


def test_the_api_description_is_valid_openapi_3_1(session, app):
    description = app.test_client().get("/api/v1/openapi.json").json
    assert description["openapi"] == "3.1.0"
    validate(description)


def test_the_documentation_page_needs_no_internet(session, app):
    page = app.test_client().get("/api/v1/docs/")
    assert page.status_code == 200
    assert "//" not in page.text.replace("http://www.w3.org", "").split("<body")[0]
