"""What callbacks tell about links: in any order, any number of times, the same rows and the same alerts."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text

from scrm.acquisition_links.models import AcquisitionLink, LinkEvent, LinkState
from scrm.acquisition_links.service.adoption import apply_links_seen
from scrm.acquisition_links.service.recording import LinkCallback, LinkFact, record_link_events
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from tests.profiles import examples
from wecom_callbacks.handlers.acquisition_links import link_told
from wecom_callbacks.reasons import Ignored
from wecom_callbacks.registry import Callback

START = datetime(2026, 3, 1, tzinfo=UTC)
F = LinkFact
SAID = """SELECT array_agg((change_type, event_at, link_id, state, follow_id IS NULL, chat_key)::text ORDER BY key)
FROM link_events"""
LINKS = "SELECT link_id, status, used_at, unavailable_at FROM acquisition_links ORDER BY link_id"
ALERTS = "SELECT key FROM alerts ORDER BY key"


def event(fact, minute, link="ca1", state="ad", app="main"):
    at = START + timedelta(minutes=minute)
    named = {} if fact in {F.BALANCE_LOW, F.BALANCE_EXHAUSTED, F.BALANCE_INCREASED} else {"link_id": link}
    if fact in {F.OPEN_PROFILE, F.FRIEND_REQUEST}:
        named["state"] = state
    if fact is F.CUSTOMER_START_CHAT:
        named = {"userid": "ZhangSan", "external_userid": "wmA"}
    return LinkCallback(fact, at, app, **named)


events = st.builds(event, st.sampled_from(F), st.integers(0, 3), st.sampled_from(["ca1", "ca2"]),
                   st.sampled_from(["ad", "zz"]), st.sampled_from(["main", "second"]))  # fmt: skip


@examples(25)
@given(told=st.lists(events, min_size=1, max_size=8), data=st.data())
def test_order_repetition_and_batches_do_not_matter(session, told, data):
    once = after(session, [told])
    shuffled = data.draw(st.permutations([*told, *told]))
    cut = data.draw(st.integers(0, len(shuffled)))
    assert after(session, [shuffled[:cut], shuffled[cut:]]) == once


def after(session, batches):
    """What the tables say after these batches, on two links and nothing else."""
    session.rollback()
    for table in ("alerts", "link_events", "acquisition_links", "follows", "customers"):
        session.execute(text(f"DELETE FROM {table}"))  # noqa: S608  # names of this test
    for link_id in ("ca1", "ca2"):
        session.add(make_link(link_id))
    session.commit()
    for batch in batches:
        with transaction():
            record_link_events(batch)
    session.rollback()
    said = [[tuple(row) for row in session.execute(text(sql))] for sql in (SAID, LINKS, ALERTS)]
    session.commit()
    return said


def make_link(link_id):
    return AcquisitionLink(
        name=link_id, link_id=link_id, status=LinkState.ACTIVE, staff_ids=[1], department_ids=[],
        priority_staff_ids=[], tag_ids=[], version=1,
    )  # fmt: skip


def test_a_link_that_stopped_works_again_when_it_was_used_since(committed, api):
    committed.add(make_link("ca1"))
    committed.commit()
    link_id = committed.scalars(select(AcquisitionLink.id)).one()

    def works(*told):
        with transaction():
            record_link_events(told)
        return api.get(f"/api/v1/acquisition-links/{link_id}").json["works"]

    assert works() is True
    assert works(event(F.LINK_UNAVAILABLE, 5)) is False
    assert works(event(F.FRIEND_REQUEST, 3)) is False  # before it stopped
    assert works(event(F.FRIEND_REQUEST, 6)) is True
    (told,) = committed.execute(text("SELECT zh, en FROM alerts WHERE kind = 'link_unavailable'")).all()
    assert "ca1" in told.zh


def test_what_was_told_of_a_link_before_it_was_known_counts_when_it_is(committed):
    with transaction():
        record_link_events([event(F.LINK_UNAVAILABLE, 5), event(F.OPEN_PROFILE, 2)])
    shown = {"link_id": "ca1", "link": {"link_name": "旧", "url": "u"}, "range": {"user_list": ["zs"]}}
    with transaction():
        apply_links_seen([shown], [], utcnow(), "main")
    link = committed.scalars(select(AcquisitionLink)).one()
    assert link.unavailable_at == START + timedelta(minutes=5)
    assert link.used_at == START + timedelta(minutes=2)
    assert committed.scalar(text("SELECT wanted_at FROM link_readings WHERE kind = 'links'"))


def test_a_link_deleted_in_the_console_is_deleted_here(committed, api):
    committed.add(make_link("ca1"))
    committed.commit()
    with transaction():
        record_link_events([event(F.DELETE_LINK, 1)])
    assert api.get("/api/v1/acquisition-links").json["items"] == []
    assert committed.scalars(text("SELECT kind FROM alerts")).all() == ["delete_link"]


def told(change_type, row_id=1, **fields):
    return Callback(row_id, "main", "customer_acquisition", change_type, START, fields, replayed=False)


@pytest.mark.parametrize(
    ("change_type", "fields", "expected"),
    [
        ("friend_request", {"LinkId": "ca1", "State": "ad_1"}, {"link_id": "ca1", "state": "ad_1"}),
        ("customer_start_chat", {"UserID": "zs", "ExternalUserID": "wmA"}, {"has_follow": True}),
        ("quota_expire_soon", {"ExpireTime": "1702000000", "ExpireQuotaNum": "1000"},
         {"expires_at": datetime.fromtimestamp(1702000000, UTC), "expiring": 1000}),
        ("quota_expire_soon", {"ExpireTime": "soon"}, {"expires_at": None, "expiring": None}),
        ("balance_low", {}, {"link_id": None}),
    ],
)  # fmt: skip
def test_every_shape_is_understood(committed, change_type, fields, expected):
    with transaction():
        assert link_told([told(change_type, **fields)]) == {}
    row = committed.scalars(select(LinkEvent)).one()
    said = {name: getattr(row, name) for name in expected if name != "has_follow"}
    if "has_follow" in expected:
        said["has_follow"] = row.follow_id is not None
    assert (row.change_type, said) == (change_type, expected)


def test_an_event_that_names_nobody_is_ignored_with_the_reason(committed):
    for change_type in ("link_unavailable", "customer_start_chat", "message_from_customer"):
        with transaction():
            assert link_told([told(change_type, row_id=7)]) == {7: Ignored.INCOMPLETE}
    assert committed.scalars(select(LinkEvent)).all() == []


def test_a_quota_that_expires_is_told_once_and_not_when_it_is_over(committed):
    soon = LinkCallback(
        F.QUOTA_EXPIRE_SOON, utcnow(), "main", expires_at=utcnow() + timedelta(days=7), expiring=90
    )
    past = LinkCallback(F.QUOTA_EXPIRE_SOON, START, "main", expires_at=START + timedelta(days=7), expiring=9)
    for _ in range(2):
        with transaction():
            record_link_events([soon, past])
    (row,) = committed.execute(text("SELECT zh, kind FROM alerts")).all()
    assert ("90" in row.zh, row.kind) == (True, "link_quota")
