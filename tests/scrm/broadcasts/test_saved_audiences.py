"""Broadcasts to saved audiences: named, planned, frozen by what holds at that moment, and never taken away under them."""

import pytest
from sqlalchemy import select, update

from scrm.audiences.models import Audience
from scrm.broadcasts.models import Broadcast, BroadcastState, BroadcastTarget
from scrm.broadcasts.service.freezing import freeze_audience
from scrm.broadcasts.service.states import move
from scrm.kernel.clock import utcnow
from tests.scrm.broadcasts.population import follow, make_customers, make_staff

V1 = "/api/v1"
SAYS_A = {"kind": "field", "field": "customer.name", "op": "starts_with", "value": "a"}


@pytest.fixture
def people(session):
    """Customers a1, a2, b1, b2 of one member."""
    [member] = make_staff(session, "li")
    made = make_customers(session, "a1", "a2", "b1", "b2")
    for each in made:
        follow(session, member, each)
    return {each.name: each.id for each in made}


@pytest.fixture
def begins(api, people):
    """Id of the audience of those whose name begins with a."""
    return api.post(f"{V1}/audiences", json={"name": "A", "condition": SAYS_A}).json["id"]


@pytest.fixture
def ones(api, people):
    """Id of the list of a1 and b1."""
    id_ = api.post(f"{V1}/audiences", json={"name": "一", "kind": "static"}).json["id"]
    rows = [{"customer_id": people[name]} for name in ("a1", "b1")]
    assert api.post(f"{V1}/audiences/{id_}/members:add", json={"customers": rows}).status_code == 200
    return id_


def draft(api, **audience):
    body = {"name": "offer", "kind": "customers", "text": "hello", "audience": audience}
    return api.post(f"{V1}/broadcasts", json=body)


def receives(session, id_):
    """Names of those who would receive it, by the freeze."""
    assert move([id_], BroadcastState.PLANNING, only=[BroadcastState.DRAFT], started_at=utcnow())
    assert freeze_audience(id_)
    found = select(BroadcastTarget.recipient).where(BroadcastTarget.broadcast_id == id_)
    return sorted(session.scalars(found))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (lambda a, one, ids: {"audience_ids": [a]}, ["a1", "a2"]),
        (lambda a, one, ids: {"audience_ids": [a, one]}, ["a1", "a2", "b1"]),
        (lambda a, one, ids: {"audience_ids": [one], "condition": SAYS_A}, ["a1"]),
        (lambda a, one, ids: {"audience_ids": [a], "exclude_audience_ids": [one]}, ["a2"]),
        (lambda a, one, ids: {"all": True, "exclude_audience_ids": [a, one]}, ["b2"]),
        (lambda a, one, ids: {"condition": SAYS_A, "exclude_audience_ids": [one]}, ["a2"]),
        (lambda a, one, ids: {"customer_ids": [ids["b1"], ids["b2"]], "exclude_audience_ids": [one]}, ["b2"]),
    ],
)
def test_audiences_are_added_narrowed_and_left_out(api, session, people, begins, ones, asked, expected):
    made = draft(api, **asked(begins, ones, people))
    assert made.status_code == 201, made.json
    assert api.get(f"{V1}/broadcasts/{made.json['id']}/plan").json["recipients"] == len(expected)
    assert receives(session, made.json["id"]) == expected


def test_the_freeze_takes_who_belongs_then(api, session, people, begins):
    id_ = draft(api, audience_ids=[begins]).json["id"]
    changed = {"condition": {**SAYS_A, "value": "b"}}
    assert api.patch(f"{V1}/audiences/{begins}", json=changed).status_code == 200
    assert receives(session, id_) == ["b1", "b2"]


def test_an_audience_that_a_broadcast_waits_for_stays(api, session, begins, ones):
    condition = {"not": {"kind": "in_audience", "audience_ids": [ones]}}
    id_ = draft(api, audience_ids=[begins], condition=condition).json["id"]
    for audience_id in (begins, ones):
        refused = api.delete(f"{V1}/audiences/{audience_id}")
        assert refused.status_code == 409
        assert f"broadcast {id_} (offer)" in refused.json["detail"]
    assert receives(session, id_) == ["a2"]
    assert api.delete(f"{V1}/audiences/{ones}").status_code == 204, "what is frozen needs it no more"


def test_a_broadcast_whose_audience_is_gone_all_the_same_fails_and_reaches_nobody(api, session, ones):
    id_ = draft(api, all=True, exclude_audience_ids=[ones]).json["id"]
    session.execute(update(Audience).values(deleted_at=utcnow()))
    assert receives(session, id_) == []
    failed = session.get(Broadcast, id_, populate_existing=True)
    assert (failed.state, "audience.exclude_audience_ids.0" in failed.error) == (BroadcastState.FAILED, True)


@pytest.mark.parametrize(
    ("audience", "path", "words"),
    [
        ({"audience_ids": [99]}, "audience.audience_ids.0", "no audience"),
        ({"all": True, "exclude_audience_ids": [99]}, "audience.exclude_audience_ids.0", "no audience"),
        ({"exclude_audience_ids": [99]}, "audience", "exactly one"),
        ({"audience_ids": [1], "all": True}, "audience", "exactly one"),
        ({"audience_ids": []}, "audience.audience_ids", "1"),
        ({"group_ids": [1], "exclude_audience_ids": [1]}, "audience.group_ids", "customers"),
    ],
)
def test_what_is_wrong_is_named(api, audience, path, words):
    refused = draft(api, **audience)
    assert refused.status_code == 422
    assert words in refused.json["fields"][path]
