"""Files that fields of people name: shown to those who may see such a field of such a person, kept while it is said."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from scrm.customers.models import Follow
from scrm.customers.service.wanting import ensure_customers
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.media.models import MediaUpload
from scrm.people.service.values import Said, write_values
from scrm.staff.models import Staff
from tests.scrm.media.conftest import JPG, MP4, PNG, upload_form

READER = ("media:read", "people:read", "customers:read")
WELCOME = {"name": "n", "text": "t"}


@pytest.fixture
def secret(api):
    """A field of contracts, seen with people:merge."""
    field = {"key": "contract", "type": "file", "name_zh": "合同", "name_en": "contract"}
    assert api.post("/api/v1/fields", json={**field, "seen_with": ["people:merge"]}).status_code == 201


def put_in(api, content=JPG, name="a.jpg"):
    """The id of a file that a key with every permission put in."""
    made = api.post("/api/v1/media", **upload_form(content, name))
    assert made.status_code == 201, made.json
    return made.json["id"]


def name_it(api, person, file, key="contract"):
    """Make a file the value of a field of a person."""
    answer = api.patch(f"/api/v1/people/{person}/fields", json={"values": {key: file}})
    assert answer.status_code == 200, answer.json


def picture(file):
    return {**WELCOME, "attachments": [{"msgtype": "image", "image": {"library_id": file}}]}


def shown(client, file):
    """Whether a key sees a file; every way to ask has to agree."""
    address = f"/api/v1/media/{file}"
    ways = [client.get(address).status_code == 200, client.get(f"{address}/content").status_code == 200]
    for query in ("", "?kind=image"):
        listed = client.get(f"/api/v1/media{query}").json["items"]
        ways.append(file in [row["id"] for row in listed])
    assert len(set(ways)) == 1, ways
    return ways[0]


def test_a_file_in_a_hidden_field_is_hidden_everywhere_from_whom_the_field_is(secret, api, api_with, found):
    (person,) = found({"unionid": "u1"})
    file = put_in(api)
    reader, merger = api_with(*READER, "media:write"), api_with(*READER, "people:merge")
    assert shown(reader, file)
    name_it(api, person, file)
    assert not shown(reader, file)
    assert reader.delete(f"/api/v1/media/{file}").status_code == 404  # and not: named by a person's field
    assert reader.delete(f"/api/v1/media/{file}?force=true").status_code == 404
    assert shown(merger, file)
    assert shown(api, file)


def test_pages_of_the_library_are_full_without_what_is_hidden(secret, api, api_with, found):
    (person,) = found({"unionid": "u1"})
    files = [put_in(api, JPG + bytes([n]), f"{n}.jpg") for n in range(4)]
    name_it(api, person, files[2])
    reader = api_with(*READER)
    first = reader.get("/api/v1/media?limit=2").json
    assert [row["id"] for row in first["items"]] == [files[3], files[1]]
    rest = reader.get(f"/api/v1/media?limit=2&cursor={first['next_cursor']}").json
    assert ([row["id"] for row in rest["items"]], rest["next_cursor"]) == ([files[0]], None)


def test_a_field_for_all_readers_of_people_shows_its_file_to_them_alone(api, api_with, found):
    api.post("/api/v1/fields", json={"key": "photo", "type": "file", "name_zh": "照片", "name_en": "photo"})
    (person,) = found({"unionid": "u1"})
    file = put_in(api)
    name_it(api, person, file, "photo")
    assert shown(api_with(*READER), file)
    assert not shown(api_with("media:read"), file)


def test_a_file_in_two_fields_is_shown_by_either(secret, api, api_with, found):
    api.post("/api/v1/fields", json={"key": "photo", "type": "file", "name_zh": "照片", "name_en": "photo"})
    one, other = found({"unionid": "u1"}, {"unionid": "u2"})
    file, reader = put_in(api), api_with(*READER)
    name_it(api, one, file)
    name_it(api, other, file, "photo")
    assert shown(reader, file)


def test_a_value_kept_beside_the_standing_one_hides_its_file_and_keeps_it(secret, api, api_with, found):
    (person,) = found({"unionid": "u1"})
    old, new = put_in(api), put_in(api, PNG, "b.png")
    with transaction():
        write_values([Said(person, "contract", old, "crm", utcnow() - timedelta(days=1))])
    name_it(api, person, new)
    reader = api_with(*READER)
    assert not shown(reader, old)
    assert not shown(reader, new)
    refused = api.delete(f"/api/v1/media/{old}")
    assert refused.status_code == 409
    assert f"the field contract of person {person}" in refused.json["detail"]


def test_a_field_that_was_archived_still_hides_its_files(secret, api, api_with, found):
    (person,) = found({"unionid": "u1"})
    file = put_in(api)
    name_it(api, person, file)
    assert api.patch("/api/v1/fields/contract", json={"archived": True}).status_code == 200
    assert not shown(api_with(*READER), file)
    assert shown(api, file)


def test_a_key_with_a_data_scope_sees_the_files_of_its_own_people(session, secret, api, api_with, found):
    with transaction():
        ids = ensure_customers(["wm1", "wm2"])
        staff = Staff(userid="zs", name="ZS")
        session.add(staff)
        session.flush()
        session.add(Follow(customer_id=ids["wm1"], staff_id=staff.id, added_at=utcnow()))
    mine, other = found({"external_userid": "wm1"}, {"external_userid": "wm2"})
    files = put_in(api), put_in(api, PNG, "b.png")
    plain = put_in(api, JPG + b"menu", "menu.jpg")
    name_it(api, mine, files[0])
    name_it(api, other, files[1])
    limited = api_with(*READER, "people:merge", staff_ids=[staff.id])
    assert [shown(limited, file) for file in (*files, plain)] == [True, False, True]
    limited_reader = api_with(*READER, staff_ids=[staff.id])
    assert [shown(limited_reader, file) for file in (*files, plain)] == [False, False, True]


def test_a_file_that_went_into_a_message_is_everybody_s_who_reads_the_library(secret, api, api_with, found):
    (person,) = found({"unionid": "u1"})
    file, reader = put_in(api), api_with(*READER)
    name_it(api, person, file)
    assert not shown(reader, file)
    sent = api.post("/api/v1/welcome-messages", json=picture(file), headers={"Idempotency-Key": "k"})
    assert sent.status_code == 201
    assert shown(reader, file)


def test_a_refused_deletion_names_the_person_to_those_alone_who_may_know(
    session, secret, api, api_with, found
):
    (person,) = found({"unionid": "u1"})
    file = put_in(api)
    name_it(api, person, file)
    api.post("/api/v1/welcome-messages", json=picture(file), headers={"Idempotency-Key": "k"})
    session.execute(update(MediaUpload).values(keep_until=utcnow() - timedelta(days=1)))
    writer, address = api_with(*READER, "media:write"), f"/api/v1/media/{file}"
    refused = writer.delete(address)
    assert refused.status_code == 409
    assert "a field of a person that this key may not see" in refused.json["detail"]
    assert "contract" not in refused.json["detail"]
    assert f"the field contract of person {person}" in api.delete(address).json["detail"]


def test_a_merge_and_its_undo_hide_as_the_values_go(session, secret, api, api_with, found):
    with transaction():
        ids = ensure_customers(["wm1", "wm2"])
        staff = Staff(userid="zs", name="ZS")
        session.add(staff)
        session.flush()
        session.add(Follow(customer_id=ids["wm1"], staff_id=staff.id, added_at=utcnow()))
    mine, other = found({"external_userid": "wm1"}, {"external_userid": "wm2"})
    file = put_in(api)
    name_it(api, other, file)
    limited, reader = api_with(*READER, "people:merge", staff_ids=[staff.id]), api_with(*READER)
    assert not shown(limited, file)
    merge = api.post("/api/v1/people/merges", json={"kept_id": mine, "gone_id": other})
    assert merge.status_code == 201, merge.json
    assert (shown(limited, file), shown(reader, file)) == (True, False)
    undone = api.post(f"/api/v1/people/merges/{merge.json['merge_id']}/undo")
    assert undone.status_code == 200, undone.json
    assert (shown(limited, file), shown(reader, file)) == (False, False)


def test_whoever_has_the_content_may_put_it_in_and_use_it(secret, api, api_with, found):
    (person,) = found({"unionid": "u1"})
    file, writer = put_in(api), api_with(*READER, "media:write")
    name_it(api, person, file)
    assert not shown(writer, file)
    mine = put_in(writer, JPG, "mine.jpg")
    assert (shown(writer, mine), shown(writer, file)) == (True, False)  # nor what others call it
    assert put_in(writer, JPG, "a.jpg") == file
    assert shown(writer, file)
    assert not shown(api_with(*READER), file)


def test_what_a_key_may_not_see_it_cannot_make_its_own(secret, api, api_with, found):
    """A number that is guessed shall not open a file by being named elsewhere."""
    api.post("/api/v1/fields", json={"key": "photo", "type": "file", "name_zh": "照片", "name_en": "photo"})
    (person,) = found({"unionid": "u1"})
    file = put_in(api)
    name_it(api, person, file)
    curious = api_with(*READER, "people:write", "welcome:write", "broadcasts:send", "broadcasts:read")
    fields = f"/api/v1/people/{person}/fields"
    refused = curious.patch(fields, json={"values": {"photo": file}})
    assert refused.status_code == 422
    assert "values.photo" in refused.json["fields"]
    unknown = curious.patch(fields, json={"values": {"photo": file + 1000}})
    assert refused.json["fields"] == unknown.json["fields"]  # no word of whether it exists
    welcome = curious.post("/api/v1/welcome-messages", json=picture(file), headers={"Idempotency-Key": "k"})
    assert welcome.status_code == 422
    assert "attachments.0" in welcome.json["fields"]
    assert not shown(curious, file)


def test_a_library_of_other_kinds_is_not_touched(secret, api, api_with):
    video, reader = put_in(api, MP4, "a.mp4"), api_with("media:read")
    assert [row["id"] for row in reader.get("/api/v1/media?kind=video").json["items"]] == [video]


def test_a_value_that_its_source_took_back_lets_its_file_go_and_still_hides_it(secret, api, api_with, found):
    """The history of the field shows it still, to those who may see the field."""
    (person,) = found({"unionid": "u1"})
    file = put_in(api)
    with transaction():
        write_values([Said(person, "contract", file, "crm", utcnow() - timedelta(days=1))])
    name_it(api, person, None)
    assert not shown(api_with(*READER), file)
    assert (
        api.delete(f"/api/v1/media/{file}").status_code == 409
    )  # staff said so, not the system that named it
    with transaction():
        write_values([Said(person, "contract", None, "crm", utcnow())])
    assert not shown(api_with(*READER), file)
    assert api.delete(f"/api/v1/media/{file}").status_code == 204


def test_a_batch_names_again_what_its_field_names_and_opens_nothing(secret, api, api_with, found):
    api.post("/api/v1/fields", json={"key": "photo", "type": "file", "name_zh": "照片", "name_en": "photo"})
    file, loader = put_in(api), api_with(*READER, "people:write")

    def send(name, key="contract"):
        row = {"source_id": "1", "identities": {"unionid": "u1"}, "fields": {"name": name, key: file}}
        answer = loader.post("/api/v1/people:batch", json={"source": "crm", "people": [row]})
        assert answer.status_code == 200, answer.json
        return answer.json["results"][0]

    assert send("梅")["status"] == "created"
    assert not shown(loader, file)
    assert send("梅")["status"] == "unchanged"
    assert send("梅梅")["status"] == "updated"
    assert send("梅梅", "photo")["problem"].keys() == {"fields.photo"}
    assert not shown(loader, file)
