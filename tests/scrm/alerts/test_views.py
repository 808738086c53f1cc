"""What members were told, through the API."""

from __future__ import annotations

from tests.scrm.alerts.conftest import news, tell


def test_alerts_are_listed_newest_first_with_who_receives_them(api, people):
    tell(news("a", people["li"]), news("b", people["wang"], urgent=True))
    tell(news("c", operators=True))
    first = api.get("/api/v1/alerts?limit=2").get_json()
    assert [(item["key"], item["receiver_userid"]) for item in first["items"]] == [("c", None), ("b", "wang")]
    assert first["items"][0]["reason"] == "no receiver"
    rest = api.get(f"/api/v1/alerts?limit=2&cursor={first['next_cursor']}").get_json()
    assert [item["key"] for item in rest["items"]] == ["a"]
    assert rest["next_cursor"] is None


def test_alerts_are_filtered(api, people):
    tell(news("a", people["li"]), news("b", people["wang"], urgent=True), news("c", operators=True))
    for query, keys in (
        (f"receiver_id={people['li']}", ["a"]),
        ("urgent=true", ["b"]),
        ("state=silenced", ["c"]),
        ("kind=news", ["c", "b", "a"]),
        ("kind=other", []),
        ("since=2100-01-01T00:00:00Z", []),
        ("until=2000-01-01T00:00:00Z", []),
    ):
        items = api.get(f"/api/v1/alerts?{query}").get_json()["items"]
        assert sorted(item["key"] for item in items) == sorted(keys), query
    assert api.get("/api/v1/alerts?state=unheard").status_code == 422


def test_a_limited_key_sees_what_its_own_staff_are_told(session, people, api_with):
    tell(news("a", people["li"], people["wang"]), news("b", operators=True))
    limited = api_with("alerts:read", staff_ids=[people["li"]])
    items = limited.get("/api/v1/alerts").get_json()["items"]
    assert [(item["key"], item["receiver_id"]) for item in items] == [("a", people["li"])]
    assert limited.get(f"/api/v1/alerts?receiver_id={people['wang']}").get_json()["items"] == []
    assert api_with("losses:read").get("/api/v1/alerts").status_code == 403
