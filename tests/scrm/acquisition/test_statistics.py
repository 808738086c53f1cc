"""Figures of codes: by day of the corp's zone, by member, within the scope; and how fair the choice was."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrm.acquisition.models import ChannelCode, ChannelDuty, Welcome, WelcomeOutcome
from scrm.acquisition.queries.statistics import gini
from scrm.customers.events import LostBy
from scrm.customers.service.recording import Add, Deletion, record_adds, record_deletions
from scrm.kernel.db import transaction
from scrm.staff.service import ensure_staff

URL = "/api/v1/channel-codes"
NOON = datetime(2026, 11, 18, 4, tzinfo=UTC)  # 12:00 in Shanghai
ZERO = {
    "adds": 0, "returns": 0, "lost_24h_by_customer": 0, "lost_24h_by_staff": 0, "lost_7d_by_customer": 0,
    "lost_7d_by_staff": 0, "welcomes_sent": 0, "welcomes_missed": 0, "welcomes_suppressed": 0,
}  # fmt: skip


@pytest.fixture
def code(session):
    made = ChannelCode(name="展会", state="ch900", staff_ids=[], tag_ids=[], contact_type=2)
    session.add(made)
    session.commit()
    return made


@pytest.fixture
def staff(session):
    with transaction():
        return list(ensure_staff(["amy", "bob"]).values())


def add(userid, person, at=NOON, state="ch900"):
    with transaction():
        [follow_id] = record_adds([Add(userid, person, at, False, state)]).values()
    return follow_id


def lose(userid, person, at, by=LostBy.CUSTOMER, source=None):
    with transaction():
        record_deletions([Deletion(userid, person, at, by, source)])


def welcome(session, code, follow_id, outcome, at=NOON):
    session.add(
        Welcome(
            follow_id=follow_id, channel_code_id=code.id, code_digest=f"{follow_id}{at}", outcome=outcome, event_at=at,
            deadline_at=at,
        )
    )  # fmt: skip
    session.commit()


def figures(**values):
    return {**ZERO, **values}


def get(api, path, **query):
    answer = api.get(f"{URL}{path}", query_string={"from": "2026-11-17", "to": "2026-11-19", **query})
    assert answer.status_code == 200, answer.json
    return answer.json


def test_every_figure_by_day(api, code, staff, session):
    first = add("amy", "wm1")
    add("amy", "wm2")
    add("bob", "wm3", NOON + timedelta(days=1))
    add("bob", "wm4")
    add("bob", "wm5")
    lose("amy", "wm1", NOON + timedelta(hours=24))
    add("amy", "wm1", NOON + timedelta(hours=25))
    lose("amy", "wm2", NOON + timedelta(hours=25), LostBy.STAFF)
    lose("bob", "wm4", NOON + timedelta(days=8))
    lose("bob", "wm5", NOON + timedelta(hours=1), LostBy.STAFF, "DELETE_BY_TRANSFER")
    welcome(session, code, first, WelcomeOutcome.SENT)
    welcome(session, code, first, WelcomeOutcome.SUPPRESSED, NOON + timedelta(days=1))
    told = get(api, f"/{code.id}/statistics")
    assert told["items"] == [
        {"day": "2026-11-17", **ZERO},
        {"day": "2026-11-18", **figures(adds=4, lost_24h_by_customer=1, lost_7d_by_customer=1, lost_7d_by_staff=1, welcomes_sent=1)},
        {"day": "2026-11-19", **figures(adds=2, returns=1, welcomes_suppressed=1)},
    ]  # fmt: skip
    assert told["total"] == figures(
        adds=6, returns=1, lost_24h_by_customer=1, lost_7d_by_customer=1, lost_7d_by_staff=1, welcomes_sent=1,
        welcomes_suppressed=1,
    )  # fmt: skip


def test_days_are_those_of_the_corps_zone(api, code, staff):
    add("amy", "wm1", datetime(2026, 11, 17, 15, 59, 59, tzinfo=UTC))
    add("amy", "wm2", datetime(2026, 11, 17, 16, 0, 0, tzinfo=UTC))
    rows = get(api, f"/{code.id}/statistics")["items"]
    assert [row["adds"] for row in rows] == [1, 1, 0]


def test_the_same_by_member_and_over_all_codes(api, code, staff, session):
    add("amy", "wm1")
    add("bob", "wm2")
    add("bob", "wm3")
    rows = get(api, f"/{code.id}/statistics", by="staff")["items"]
    assert [(row["staff_id"], row["adds"]) for row in rows] == [(staff[0], 1), (staff[1], 2)]
    overview = get(api, "/statistics")["items"]
    assert [(row["channel_code_id"], row["name"], row["adds"]) for row in overview] == [(code.id, "展会", 3)]


def test_a_limited_key_sees_figures_of_its_staff_only(api_with, code, staff, session):
    add("amy", "wm1")
    follow = add("bob", "wm2")
    welcome(session, code, follow, WelcomeOutcome.SENT)
    own = api_with("channel-codes:read", staff_ids=[staff[0]])
    for path in (f"/{code.id}/statistics", "/statistics"):
        told = get(own, path)
        assert sum(row["adds"] for row in told["items"]) == 1
        assert sum(row["welcomes_sent"] for row in told["items"]) == 0
    assert own.get(f"{URL}/{code.id}").json["adds"] == 1
    assert own.get(URL).json["items"][0]["adds"] == 1
    assert [row["staff_id"] for row in get(own, f"/{code.id}/fairness")["items"]] == [staff[0]]


@pytest.mark.parametrize(
    "query",
    [{"from": "2026-11-20"}, {"from": "2024-01-01"}, {"from": "x"}, {"by": "hour"}, {"colour": "red"}],
)
def test_wrong_spans_are_refused(api, code, query):
    answer = api.get(f"{URL}/{code.id}/statistics", query_string={"to": "2026-11-19", **query})
    assert answer.status_code == 422


def test_without_a_span_the_last_thirty_days_are_told(api, code):
    told = api.get(f"{URL}/{code.id}/statistics").json
    assert len(told["items"]) == 30


def test_unknown_codes_are_404(api, session):
    for path in ("statistics", "fairness"):
        assert api.get(f"{URL}/999999/{path}").status_code == 404


def on_duty(session, code, staff_id, begin, end=None):
    session.add(ChannelDuty(channel_code_id=code.id, staff_id=staff_id, from_at=begin, until_at=end))
    session.commit()


def test_fairness_considers_who_was_on_duty(api, code, staff, session):
    amy, bob = staff
    begin, change, end = NOON - timedelta(hours=2), NOON, NOON + timedelta(hours=4)
    on_duty(session, code, amy, begin, change)
    on_duty(session, code, bob, begin, end)
    add("amy", "wm1", NOON - timedelta(minutes=30))
    add("amy", "wm2", NOON - timedelta(minutes=20))
    for number in range(2):
        add("bob", f"wb{number}", NOON + timedelta(minutes=30 + number))
    told = get(api, f"/{code.id}/fairness")
    rows = {row["staff_id"]: row for row in told["items"]}
    assert (rows[amy]["adds"], rows[amy]["expected"], rows[amy]["hours"]) == (2, 1.0, 2.0)
    assert (rows[bob]["adds"], rows[bob]["expected"], rows[bob]["hours"]) == (2, 3.0, 6.0)
    assert (rows[amy]["ratio"], rows[amy]["share"], rows[amy]["expected_share"]) == (2.0, 0.5, 0.25)
    assert told["gini"] == pytest.approx(0.25)
    assert told["most_to_mean"] == pytest.approx(1.5)


def test_equal_shares_are_fair_and_nobody_is_nothing(api, code, staff, session):
    assert (get(api, f"/{code.id}/fairness")["gini"], get(api, f"/{code.id}/fairness")["items"]) == (None, [])
    for staff_id in staff:
        on_duty(session, code, staff_id, NOON - timedelta(hours=1))
    add("amy", "wm1")
    add("bob", "wm2")
    told = get(api, f"/{code.id}/fairness")
    assert (told["gini"], told["most_to_mean"]) == (0.0, 1.0)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=12))
def test_gini_is_that_of_the_definition(values):
    mean = sum(values) / len(values)
    differences = sum(abs(a - b) for a in values for b in values)
    assert gini(values) == pytest.approx(differences / (2 * len(values) ** 2 * mean), abs=1e-9)


def test_days_thousands_of_years_away_are_refused_by_name(api):
    answer = api.get("/api/v1/channel-codes/statistics?from=9999-12-31&to=9999-12-31")
    assert answer.status_code == 422
    assert "years" in answer.json["fields"]["from"]
