"""Records of other systems, and what the API does with persons: merges, matches, consents."""

import pytest

from scrm.people import jobs
from scrm.people.queries.survivors import survivors


@pytest.fixture
def send(api):
    """send(*rows) -> the answer of a batch from the mall."""

    def post(*rows, source="mall"):
        answer = api.post("/api/v1/people:batch", json={"source": source, "people": list(rows)})
        assert answer.status_code == 200, answer.json
        return answer.json

    return post


def record(source_id, fields=None, **identities):
    return {"source_id": source_id, "identities": identities, **({"fields": fields} if fields else {})}


def test_a_batch_answers_row_by_row_and_again_changes_nothing(send, rows):
    batch = [
        record("1", {"name": "梅", "email": "m@m.cn"}, phone="13912345670", member_no="M1"),
        record("2", {"planet": 1, "email": "x"}, phone="13912345671"),
        record("3", phone="13800138000"),
        record("4", phone="12"),
        {"source_id": "5"},
        "nonsense",
        record("7", phone="13912345670"),
    ]
    first = send(*batch)
    assert [row["status"] for row in first["results"]] == ["created", *["refused"] * 5, "created"]
    assert set(first["results"][1]["problem"]) == {"fields.planet", "fields.email"}
    assert first["results"][0]["person_id"] == first["results"][6]["person_id"]
    before = rows("SELECT count(*), max(id) FROM person_values")
    again = send(*batch)
    assert (again["unchanged"], again["refused"], again["created"]) == (2, 5, 0)
    assert rows("SELECT count(*), max(id) FROM person_values") == before
    assert rows("SELECT field, value, source FROM person_fields ORDER BY field") == [
        ("email", "m@m.cn", "mall"), ("name", "梅", "mall"),
    ]  # fmt: skip


def test_a_changed_record_says_something_new_and_an_old_one_is_not_the_newest(send, rows):
    send({**record("1", {"company": "新"}, phone="13912345670"), "at": "2026-02-01T00:00:00+08:00"})
    answer = send({**record("1", {"company": "旧"}, phone="13912345670"), "at": "2026-01-01T00:00:00+08:00"})
    assert answer["updated"] == 1
    assert rows("SELECT value FROM person_fields") == [("新",)]
    assert rows("SELECT count(*) FROM person_values") == [(2,)]


def test_a_record_with_a_new_phone_stays_one_person(send, rows):
    (one,) = send(record("1", phone="13912345670"))["results"]
    (other,) = send(record("1", phone="13912345671"))["results"]
    jobs.merge_matched()
    assert survivors([other["person_id"]]) == {other["person_id"]: one["person_id"]}


def test_a_record_that_turns_to_somebody_elses_phone_goes_before_a_person(send, rows):
    send(record("1", phone="13912345670"), record("2", phone="13912345671"))
    send(record("1", phone="13912345671"))
    jobs.merge_matched()
    assert rows("SELECT kind, state, reasons->0->>'code' FROM person_matches") == [
        ("conflict", "open", "same_record")
    ]


def test_one_record_twice_in_a_batch_counts_once(send):
    answer = send(
        record("1", {"name": "甲"}, phone="13912345670"), record("1", {"name": "乙"}, phone="13912345670")
    )
    assert [row["status"] for row in answer["results"]] == ["refused", "created"]


@pytest.mark.parametrize(
    "body", ["[]", "{", '{"source": "Mall!", "people": [{}]}', '{"source": "mall", "people": []}']
)
def test_a_body_that_is_no_batch_is_refused(api, body):
    assert api.post("/api/v1/people:batch", data=body).status_code == 422


def test_merges_are_made_listed_and_undone_through_the_api(api, found):
    a, b = found({"unionid": "a"}, {"unionid": "b"})
    merged = api.post("/api/v1/people/merges", json={"kept_id": a, "gone_id": b}).json["merge_id"]
    shown = api.get(f"/api/v1/people/{b}").json
    assert shown["id"] == a
    assert [merge["id"] for merge in shown["merged"]] == [merged]
    assert [
        m["gone_id"] for m in api.get("/api/v1/people/merges", query_string={"person_id": a}).json["items"]
    ] == [b]
    assert api.post(f"/api/v1/people/merges/{merged}/undo").json == {"restored_id": b}
    assert api.post(f"/api/v1/people/merges/{merged}/undo").status_code == 409
    assert api.get(f"/api/v1/people/{b}").json["id"] == b


def test_reviews_are_listed_and_decided_through_the_api(api, found):
    a, _ = found({"member_no": "A", "phone": "13912345670"}, {"member_no": "B", "phone": "13912345670"})
    found({"member_no": "C", "phone": "13912345670"})
    listed = api.get("/api/v1/people/matches", query_string={"state": "open"}).json["items"]
    assert [match["kind"] for match in listed] == ["conflict", "conflict"]
    assert listed[0]["words"] == [
        {"zh": "mall 的一条记录同时使用了双方的标识（手机号）", "en": "a record of mall names both (phone)"},
        {"zh": "双方的会员号不同", "en": "they have different member numbers"},
    ]
    second, first = (match["id"] for match in listed)
    assert api.post(f"/api/v1/people/matches/{first}/accept", json={"keep_id": a}).json["merge_id"]
    assert api.post(f"/api/v1/people/matches/{second}/reject").status_code == 204
    assert api.post(f"/api/v1/people/matches/{second}/accept", json={}).status_code == 409
    assert api.get("/api/v1/people/matches", query_string={"state": "open"}).json["items"] == []
    assert api.post("/api/v1/people/matches/999999/reject").status_code == 404


def test_consents_are_kept_by_time(api, found):
    (person,) = found({"unionid": "a"})
    address = f"/api/v1/people/{person}/consents"
    api.put(f"{address}/sms", json={"contactable": False, "at": "2026-03-01T00:00:00+08:00"})
    answer = api.put(f"{address}/sms", json={"contactable": True, "at": "2026-02-01T00:00:00+08:00"})
    assert [(c["channel"], c["contactable"]) for c in answer.json["consents"]] == [("sms", False)]
    assert api.put(f"{address}/SMS!", json={"contactable": True}).status_code == 422


def test_a_consent_of_the_future_is_refused_so_that_a_refusal_of_today_counts(api, found):
    (person,) = found({"unionid": "a"})
    address = f"/api/v1/people/{person}/consents/sms"
    refused = api.put(address, json={"contactable": True, "at": "2199-01-01T00:00:00+08:00"})
    assert (refused.status_code, list(refused.json["fields"])) == (422, ["at"])
    assert api.put(address, json={"contactable": True}).status_code == 200
    [said] = api.put(address, json={"contactable": False}).json["consents"]
    assert said["contactable"] is False


@pytest.mark.parametrize("kind", ["people", "events", "orders", "products"])
def test_a_key_with_a_data_scope_writes_no_batches_about_others(session, api_with, kind):
    row = {"source": "crm", kind: [{"source_id": "1", "identities": {"phone": "13912345670"}}]}
    answer = api_with("*", staff_ids=[1]).post(f"/api/v1/{kind}:batch", json=row)
    assert answer.status_code == 403
    assert "without a data scope" in answer.json["detail"]
