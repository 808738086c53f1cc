"""The inbox in the API and on the command line."""

import json
import logging

import pytest
import structlog
from click.testing import CliRunner

from config.settings import current_settings
from scrm.cli.inbox import inbox_group
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session as current_session
from scrm.kernel.db import transaction
from tests.conftest import CORP_ID, TEST_APP
from wecom_callbacks.models import InboxRow, InboxState, Lane

BODY = "<xml><A>隐私</A></xml>"


def put(count=1, **values):
    with transaction():
        made = [
            InboxRow(**{
                "digest": f"{values}{n}".encode(), "app": "main", "lane": Lane.EVENTS, "body": BODY,
                "received_at": utcnow(), "state": InboxState.DONE, **values,
            })
            for n in range(count)
        ]  # fmt: skip
        current_session().add_all(made)
    return [row.id for row in made]


def test_the_list_is_newest_first_in_pages_and_without_bodies(api):
    ids = put(3)
    page = api.get("/api/v1/inbox?limit=2").get_json()
    assert [item["id"] for item in page["items"]] == [ids[2], ids[1]]
    assert "body" not in page["items"][0]
    rest = api.get("/api/v1/inbox", query_string={"cursor": page["next_cursor"]}).get_json()
    assert [item["id"] for item in rest["items"]] == [ids[0]]
    assert rest["next_cursor"] is None


def test_a_key_with_a_data_scope_reads_no_body_and_replays_nothing(api_with, session):
    """Bodies name customers of everybody (lesson 35)."""
    limited, (made,) = api_with("*", staff_ids=[1]), put()
    assert limited.get(f"/api/v1/inbox/{made}").status_code == 403
    assert limited.post("/api/v1/inbox/replay", json={"ids": [made]}).status_code == 403
    assert api_with("*").get(f"/api/v1/inbox/{made}").json["body"] == BODY


@pytest.mark.parametrize(
    "query", ["state=dead", "event=e", "change_type=c", "lane=urgent", "app=second", "state=dead&event=e"]
)
def test_the_list_is_filtered(api, query):
    put(2)
    (wanted,) = put(state=InboxState.DEAD, event="e", change_type="c", lane=Lane.URGENT, app="second")
    assert [item["id"] for item in api.get(f"/api/v1/inbox?{query}").get_json()["items"]] == [wanted]


@pytest.mark.parametrize("query", ["state=lost", "lane=fast", "sort=id", "limit=1000", "cursor=@@"])
def test_a_wrong_filter_is_named(api, query):
    answer = api.get(f"/api/v1/inbox?{query}")
    assert answer.status_code == 422
    assert query.partition("=")[0] in answer.get_json()["fields"]


def test_one_callback_is_shown_with_its_body(api):
    (row_id,) = put(error="why", attempts=2)
    shown = api.get(f"/api/v1/inbox/{row_id}").get_json()
    assert (shown["body"], shown["error"], shown["attempts"], shown["state"]) == (BODY, "why", 2, "done")
    assert api.get("/api/v1/inbox/999999").status_code == 404


def test_codes_in_a_body_are_masked(api):
    (row_id,) = put(
        body="<xml><WelcomeCode><![CDATA[C0DE]]></WelcomeCode><Token>ENC1</Token><Id>7</Id></xml>"
    )
    shown = api.get(f"/api/v1/inbox/{row_id}").get_json()["body"]
    assert shown == "<xml><WelcomeCode>***</WelcomeCode><Token>***</Token><Id>7</Id></xml>"


def test_replay_by_id_and_by_state_wakes_the_lane(api, redis):
    ids = put(2, state=InboxState.DEAD)
    assert api.post("/api/v1/inbox/replay", json={"ids": ids[:1]}).get_json() == {
        "replayed": 1,
        "more": False,
    }
    assert api.post("/api/v1/inbox/replay", json={"state": "dead"}).get_json()["replayed"] == 1
    assert redis.llen("rq:queue:events") == 1
    assert api.get("/api/v1/inbox?state=received").get_json()["items"][0]["replayed_at"] is not None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "ids"),
        ({"ids": []}, "ids"),
        ({"ids": ["x"]}, "ids.0"),
        ({"all": True}, "all"),
        ({"since": "soon"}, "since"),
    ],
)
def test_a_replay_of_nothing_or_nonsense_is_refused(api, body, field):
    put(state=InboxState.DEAD)
    answer = api.post("/api/v1/inbox/replay", json=body)
    assert answer.status_code == 422
    assert field in answer.get_json()["fields"]
    assert api.get("/api/v1/inbox?state=received").get_json()["items"] == []


def test_reading_does_not_allow_replaying(session, api_with):
    reader = api_with("inbox:read")
    assert reader.get("/api/v1/inbox").status_code == 200
    assert reader.post("/api/v1/inbox/replay", json={"state": "dead"}).status_code == 403
    assert api_with("customers:read").get("/api/v1/inbox").status_code == 403


@pytest.fixture
def scrm_inbox(committed, settings, monkeypatch):
    """Run `scrm inbox …` as its own program would, on this test's stores."""
    values = {
        "DATABASE_URL": settings.database_url.get_secret_value(), "REDIS_URL": settings.redis_url.get_secret_value(),
        "VAR_DIR": str(settings.var_dir), "CORP__ID": CORP_ID, "LOG__LEVEL": "ERROR",
        **{f"APPS__MAIN__{key.upper()}": str(value) for key, value in TEST_APP.items()},
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(f"SCRM_{name}", value)
    current_settings.cache_clear()

    def run(*arguments):
        return CliRunner().invoke(inbox_group, arguments, catch_exceptions=False)

    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield run
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    current_settings.cache_clear()


def test_the_command_lists_shows_and_replays(scrm_inbox):
    first, second = put(2, state=InboxState.DEAD, event="e")
    listed = json.loads(scrm_inbox("list", "--state", "dead", "--json").output)
    assert [row["id"] for row in listed] == [second, first]
    assert "dead" in scrm_inbox("list").output
    assert BODY in scrm_inbox("show", str(first), "--json").output
    assert json.loads(scrm_inbox("replay", str(first), "--json").output) == {
        "replayed": [first],
        "more": False,
    }
    assert "1 callbacks" in scrm_inbox("replay", "--state", "dead", "--since", "2020-01-01").output
    assert json.loads(scrm_inbox("list", "--state", "dead", "--json").output) == []


def test_the_command_counts_callbacks_with_lag_and_reasons(scrm_inbox):
    now = utcnow()
    put(2, event="e", change_type="c", state=InboxState.IGNORED, reason="member_tag", finished_at=now)
    [row] = json.loads(scrm_inbox("stats", "--json").output)["items"]
    assert (row["event"], row["callbacks"], row["reasons"]) == ("e", 2, {"member_tag": 2})
    table = " ".join(scrm_inbox("stats", "--hours", "1").output.split())
    assert "e.c" in table
    assert "member_tag" in table


def test_every_inbox_command_has_help_with_an_example(scrm_inbox):
    for name in ("list", "show", "replay", "stats"):
        assert f"Example: scrm inbox {name}" in scrm_inbox(name, "--help").output
