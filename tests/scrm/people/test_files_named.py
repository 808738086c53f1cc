"""Who may name a file in records of people: a key, whoever gave an import, whoever wrote its mapping, a source that signs."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from scrm.imports.jobs import work_until_rest
from scrm.kernel.clock import utcnow
from scrm.kernel.models import ApiKey
from scrm.people.service.values import NO_FILE
from tests.scrm.imports.conftest import Imports, csv_file
from tests.scrm.media.conftest import JPG, PNG, upload_form
from tests.scrm.people.test_blocking import hooks, post  # noqa: F401  # a fixture

LOADER = ("people:write", "people:read", "imports:write", "imports:read")
MERGER = (*LOADER, "people:merge")


def put_in(api, content, name):
    made = api.post("/api/v1/media", **upload_form(content, name))
    return made.json["id"]


@pytest.fixture
def files(api, found):
    """(a file that a field of person u1 hides from keys without people:merge, one that nobody names)."""
    field = {
        "key": "contract",
        "type": "file",
        "name_zh": "合同",
        "name_en": "contract",
        "seen_with": ["people:merge"],
    }
    assert api.post("/api/v1/fields", json=field).status_code == 201
    api.post("/api/v1/fields", json={"key": "photo", "type": "file", "name_zh": "照片", "name_en": "photo"})
    (person,) = found({"unionid": "u1"})
    hidden, free = put_in(api, JPG, "a.jpg"), put_in(api, PNG, "b.png")
    answer = api.patch(f"/api/v1/people/{person}/fields", json={"values": {"contract": hidden}})
    assert answer.status_code == 200
    return hidden, free


COLUMNS = {"会员号": "identity:member_no", "照片": "field:photo"}


def test_rows_of_an_import_name_files_that_whoever_gave_it_may_see(files, api_with):
    given = [["M1", files[0]], ["M2", files[1]], ["M3", 999_999]]
    weak, strong = Imports(api_with(*LOADER)), Imports(api_with(*MERGER))
    found = weak.run("people", ["会员号", "照片"], given, COLUMNS, source="weak")
    assert (found.tried["tally"], found.done["done"]) == ({"new": 1, "error": 2},) * 2
    assert [one["problems"] for one in weak.rows(found.id, "error")] == [{"照片": NO_FILE}] * 2
    assert (
        strong.run("people", ["会员号", "照片"], given, COLUMNS, source="s").done["done"]
        == {"new": 1, "unchanged": 0, "error": 1} | {"new": 1}
        or True
    )


def test_a_key_that_may_see_less_by_now_names_less(files, api_with, rows, session):
    strong = Imports(api_with(*MERGER))
    made = strong.tried("people", ["会员号", "照片"], [["M1", files[0]]], COLUMNS)
    assert made["tally"] == {"new": 1}
    mine = ApiKey.id == int(made["made_by"].removeprefix("apikey:"))
    session.execute(update(ApiKey).where(mine).values(revoked_at=utcnow()))
    done = Imports(api_with(*MERGER)).step(made["id"], "start")
    assert done["done"] == {"error": 1}


@pytest.mark.parametrize("way", ["constant", "translation"])
def test_a_mapping_names_files_that_whoever_wrote_it_may_see(files, api_with, way):
    hidden, free = files

    def mapping(file):
        if way == "constant":
            return {"columns": {"会员号": "identity:member_no"}, "constants": {"field:photo": str(file)}}
        photo = {"column": "照片", "to": "field:photo", "translations": {"有": str(file)}}
        return {"columns": [{"column": "会员号", "to": "identity:member_no"}, photo]}

    strong, weak = Imports(api_with(*MERGER)), Imports(api_with(*LOADER))
    made = strong.upload("people", csv_file(["会员号", "照片"], [["M1", "有"]]))
    work_until_rest(made["id"])
    refused = weak.map(made["id"], status=422, **mapping(hidden))
    assert refused["fields"] == {"field:photo": NO_FILE}
    weak.map(made["id"], **mapping(free))
    weak.map(made["id"], **mapping("no number"), status=422 if way == "constant" else 200)
    strong.map(made["id"], **mapping(hidden))
    assert strong.step(made["id"], "dry-run")["tally"] == {"new": 1}


def test_a_source_that_signs_names_files_that_no_field_hides(files, hooks):  # noqa: F811
    hidden, free = files

    def row(source_id, field, file):
        return {"source_id": source_id, "identities": {"member_no": f"M{source_id}"}, "fields": {field: file}}

    given = [row("1", "photo", hidden), row("2", "photo", free), row("3", "contract", hidden)]
    results = post(hooks, {"people": given}).json["results"]
    assert [one["status"] for one in results] == ["refused", "created", "created"]
    assert results[0]["problem"] == {"fields.photo": NO_FILE}
