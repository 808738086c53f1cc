"""A registered type, and events as a mall sends them."""

import pytest

URL = "/api/v1/events:batch"
VIEWED = {
    "key": "page_viewed",
    "name_zh": "浏览页面",
    "name_en": "viewed a page",
    "properties": [
        {"key": "page", "type": "text", "name_zh": "页面", "name_en": "page", "required": True},
        {"key": "seconds", "type": "number", "name_zh": "秒数", "name_en": "seconds"},
        {"key": "seen_at", "type": "time", "name_zh": "时间", "name_en": "seen at"},
        {"key": "words", "type": "list", "name_zh": "词", "name_en": "words"},
    ],
}


@pytest.fixture
def viewed(api):
    """The type ``page_viewed``, registered over the API."""
    made = api.post("/api/v1/event-types", json=VIEWED)
    assert made.status_code == 201, made.json
    return made.json


@pytest.fixture
def send(api, viewed):
    """Send events and give the answer."""

    def send(*events, source="mall", status=200):
        answer = api.post(URL, json={"source": source, "events": list(events)})
        assert answer.status_code == status, answer.json
        return answer.json

    return send


@pytest.fixture
def event():
    """An event of ``page_viewed``."""

    def event(source_id="e1", at="2026-11-01T10:00:00+08:00", phone="13900001111", **more):
        row = {
            "source_id": source_id,
            "type": "page_viewed",
            "at": at,
            "identities": {"phone": phone},
            "properties": {"page": "/shoes"},
        }
        return row | more

    return event
