"""Batches of events: what is refused, what a repeated row does, where late ones go."""

import pytest
from sqlalchemy import text

from scrm.behaviour.events import BehaviourStored
from scrm.kernel import events as kernel_events
from scrm.kernel.db import transaction
from scrm.people.events import PeopleMerged


def rows(session, statement, **values):
    return [tuple(row) for row in session.execute(text(statement), values)]


@pytest.fixture
def told(monkeypatch):
    heard = []
    monkeypatch.setitem(kernel_events._subscribers, BehaviourStored, [heard.extend])
    return heard


def test_an_event_is_stored_for_the_person_with_its_day_in_the_zone_of_the_corp(send, event, session, told):
    answer = send(event(at="2026-11-01T23:30:00Z"))
    assert (answer["created"], answer["results"]) == (1, [{"index": 0, "status": "created"}])
    (stored,) = rows(
        session, "SELECT person_id, at, properties, source, source_id, id, type_id FROM behaviour_events"
    )
    assert stored[1].isoformat() == "2026-11-01T23:30:00+00:00"
    assert stored[2:5] == ({"page": "/shoes"}, "mall", "e1")
    assert rows(session, "SELECT person_id, CAST(day AS text), count FROM event_days") == [
        (stored[0], "2026-11-02", 1)
    ]
    (one,) = told
    assert one.new == one.timeline == ((stored[5], stored[1], stored[0], stored[6]),)
    assert (one.person_ids, one.type_ids, one.recount) == ((stored[0],), (stored[6],), False)


def test_the_same_again_changes_nothing_and_tells_nothing(send, event, session, told):
    send(event())
    del told[:]
    assert send(event())["results"] == [{"index": 0, "status": "unchanged"}]
    assert send(event(at="2026-11-01T02:00:00Z"))["unchanged"] == 1  # the same moment, written otherwise
    assert told == []
    assert rows(session, "SELECT count FROM event_days") == [(1,)]


def test_the_same_id_of_another_source_is_another_event(send, event, session):
    send(event())
    assert send(event(), source="till")["created"] == 1
    assert rows(session, "SELECT count FROM event_days") == [(2,)]


def test_another_content_replaces_what_stands_even_in_another_month_and_for_another_person(
    send, event, session, told
):
    send(event())
    del told[:]
    changed = event(at="2026-09-05T00:00:00Z", phone="13900002222", properties={"page": "/hats"})
    assert send(changed)["results"] == [{"index": 0, "status": "updated"}]
    (stored,) = rows(session, "SELECT CAST(at AS date), properties, person_id FROM behaviour_events")
    assert (str(stored[0]), stored[1]) == ("2026-09-05", {"page": "/hats"})
    assert rows(session, "SELECT CAST(day AS text), count, person_id FROM event_days") == [
        ("2026-09-05", 1, stored[2])
    ]
    assert told[0].recount
    assert len(told[0].person_ids) == 2
    assert told[0].new == ()
    assert send(event())["updated"] == 1  # and back: its key knows the way through both months


def test_a_key_that_is_twice_in_one_batch_is_one_event_of_the_last_content(send, event, session):
    answer = send(event(), event(properties={"page": "/a"}), event(properties={"page": "/a"}))
    assert [one["status"] for one in answer["results"]] == ["created", "updated", "unchanged"]
    assert rows(session, "SELECT properties FROM behaviour_events") == [({"page": "/a"},)]
    assert rows(session, "SELECT count FROM event_days") == [(1,)]


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"type": "page_seen"}, "type", "is not registered"),
        ({"at": "2026-11-01T10:00:00"}, "at", "with its offset"),
        ({"at": "2999-01-01T00:00:00Z"}, "at", "between 1970 and now"),
        ({"at": 5}, "at", "with its offset"),
        ({"source_id": ""}, "source_id", "1 to 128"),
        ({"source_id": "a\0"}, "source_id", "NUL"),
        ({"colour": "red"}, "colour", "is unknown"),
        ({"properties": {"page": 5}}, "properties.page", "must be text"),
        ({"properties": {}}, "properties.page", "is missing"),
        ({"properties": {"page": "/", "pgae": "/"}}, "properties.pgae", "is unknown"),
        ({"properties": {"page": "/", "seconds": "5"}}, "properties.seconds", "must be a number"),
        ({"properties": {"page": "/", "seconds": True}}, "properties.seconds", "must be a number"),
        ({"properties": {"page": "/", "seen_at": "today"}}, "properties.seen_at", "must be a time"),
        ({"properties": {"page": "/", "words": ["a", 5]}}, "properties.words.1", "must be text"),
        ({"properties": []}, "properties", "must be an object"),
        ({"identities": {}}, "identities", "object of identities"),
        ({"identities": {"telephone": "1"}}, "identities.telephone", "no kind of identity"),
        ({"identities": {"phone": "12"}}, "identities.phone", "phone number"),
        ({"identities": {"member_no": "0000"}}, "identities", "nothing that identifies"),
    ],
)
def test_a_wrong_row_is_refused_by_name_and_the_others_are_stored(send, event, session, change, field, words):
    answer = send(event("e1") | change, event("e2"))
    assert (answer["refused"], answer["created"]) == (1, 1)
    assert words in answer["results"][0]["problem"][field]
    assert rows(session, "SELECT source_id FROM behaviour_events") == [("e2",)]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        (b"[]", "body"),
        (b'{"source": "mall", "events": []}', "events"),
        (b'{"source": "Mall:1", "events": [1]}', "source"),
        (b'{"source": "mall", "events": [1], "more": 1}', "more"),
        (b'{"source": "mall", "events": [' + b"1," * 1000 + b"1]}", "events"),
    ],
)
def test_a_body_that_is_no_batch_is_refused_whole(api, viewed, body, field):
    answer = api.post("/api/v1/events:batch", data=body, content_type="application/json")
    assert answer.status_code == 422
    assert field in answer.json["fields"]


def test_a_row_that_is_no_object_is_refused(send, event):
    assert send(5, event())["results"][0]["problem"] == {"row": "must be an object"}


def test_unknown_properties_are_kept_where_the_type_says_so(api, send, event, session, viewed):
    url = f"/api/v1/event-types/{viewed['id']}"
    assert api.patch(url, json={"unknown_properties": "keep"}).status_code == 200
    send(event(properties={"page": "/", "colour": {"rgb": [1, 2]}}))
    assert rows(session, "SELECT properties FROM behaviour_events") == [
        ({"page": "/", "colour": {"rgb": [1, 2]}},)
    ]


def test_times_in_properties_are_kept_in_utc(send, event, session):
    send(event(properties={"page": "/", "seen_at": "2026-11-01T08:00:00+08:00"}))
    assert rows(session, "SELECT properties ->> 'seen_at' FROM behaviour_events") == [
        ("2026-11-01T00:00:00+00:00",)
    ]


def test_late_events_get_a_partition_of_their_month_and_very_late_ones_the_default(send, event, session):
    send(event("e1", at="2020-03-05T00:00:00Z"), event("e2", at="1999-03-05T00:00:00Z"))
    assert rows(session, "SELECT source_id, CAST(tableoid AS regclass) FROM behaviour_events ORDER BY 1") == [
        ("e1", "behaviour_events_2020_03"),
        ("e2", "behaviour_events_default"),
    ]


def test_an_event_whose_month_was_detached_stays_known(send, event, session):
    send(event(at="2020-03-05T00:00:00Z"))
    session.execute(text("ALTER TABLE behaviour_events DETACH PARTITION behaviour_events_2020_03"))
    assert send(event(at="2020-03-05T00:00:00Z"))["unchanged"] == 1
    assert rows(session, "SELECT count(*) FROM behaviour_events") == [(0,)]


def test_counts_of_days_follow_a_merge(send, event, session):
    send(event("e1"), event("e2", phone="13900002222"))
    kept, gone = sorted(row[0] for row in rows(session, "SELECT person_id FROM behaviour_events"))
    with transaction():
        session.execute(text("UPDATE behaviour_events SET person_id = :kept"), {"kept": kept})
        kernel_events.publish(PeopleMerged(kept, gone))
    assert rows(session, "SELECT person_id, count FROM event_days") == [(kept, 2)]
