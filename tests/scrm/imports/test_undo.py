"""What an undo meets in life: merges, blocked values, other imports of the same persons."""

from __future__ import annotations

import pytest

from scrm.people.jobs import merge_matched
from scrm.value.jobs import recompute_wanted
from tests.scrm.media.conftest import JPG, upload_form

MEMBER, PHONE = "会员号", "手机"


@pytest.fixture
def shared(imports, rows):
    """Two persons of one import whom a second import made one."""
    first = imports.run("people", [MEMBER, PHONE], [["M1", None], [None, "13912345678"]]).id
    second = imports.run("people", [MEMBER, PHONE], [["M1", "13912345678"]]).id
    merge_matched()
    assert rows("SELECT count(*) FROM people WHERE merged_into IS NULL") == [(1,)]
    return first, second


def test_persons_who_were_merged_since_stay_one_and_are_listed(imports, rows, shared):
    first, second = shared
    undone = imports.step(second, "undo")
    assert undone["state"] == "undone"
    assert {one["table"] for one in undone["undo"]["left"]} == {"person_matches"}
    undone = imports.step(first, "undo")
    assert {(one["table"], one["why"]) for one in undone["undo"]["left"]} >= {("people", "used by others")}
    assert rows("SELECT count(*) FROM people") == [(2,)]
    assert rows("SELECT count(*) FROM person_records") == [(0,)]


def test_after_the_unmerge_everything_can_be_given_back_but_what_the_merge_left(imports, api, rows, shared):
    first, second = shared
    (merge,) = rows("SELECT id FROM merges")
    assert api.post(f"/api/v1/people/merges/{merge[0]}/undo").status_code == 200
    imports.step(second, "undo")
    imports.step(first, "undo")
    assert rows("SELECT count(*) FROM person_records") == [(0,)]
    assert rows("SELECT count(*) FROM people WHERE merged_into IS NOT NULL") == [(0,)]


def test_imports_of_the_same_persons_are_undone_in_any_order(imports, rows):
    header = [PHONE, "姓名", "公司"]
    first = imports.run("people", header, [["13912345678", "王芳", None]]).id
    second = imports.run("people", header, [["13912345678", "王芳芳", "甲"]], source="till").id
    left = imports.step(first, "undo")["undo"]["left"]
    assert {one["why"] for one in left} == {"used by others"}
    assert rows("SELECT field, value FROM person_fields ORDER BY field") == [
        ("company", "甲"),
        ("name", "王芳芳"),
    ]
    assert imports.step(second, "undo")["undo"]["conflicts"] == 0
    assert rows("SELECT count(*) FROM person_fields") == [(0,)]


def test_a_value_that_an_import_blocked_identifies_its_first_owner_again(imports, rows, app, settings):
    from scrm.kernel.settings import EXTENSION

    strict = settings.people.model_copy(update={"shared_by": 2})
    app.extensions[EXTENSION] = settings.model_copy(update={"people": strict})
    try:
        imports.run("people", [MEMBER, PHONE], [["M1", "13912345678"]])
        before = rows("SELECT kind, value, person_id FROM identities ORDER BY kind, value")
        id_ = imports.run("people", [MEMBER, PHONE], [[f"M{n}", "13912345678"] for n in (2, 3, 4)]).id
        assert rows("SELECT value FROM blocked_values") == [("+8613912345678",)]
        undone = imports.step(id_, "undo")
    finally:
        app.extensions[EXTENSION] = settings
    assert undone["undo"]["conflicts"] == 0
    assert rows("SELECT value FROM blocked_values") == []
    assert rows("SELECT kind, value, person_id FROM identities ORDER BY kind, value") == before


def test_persons_whom_the_undo_took_away_are_in_no_stage_and_no_history(imports, rows):
    stages = "SELECT count(*) FROM lifecycle UNION ALL SELECT count(*) FROM lifecycle_history"
    made = imports.run("people", [MEMBER, "姓名"], [["M1", "王芳"], ["M2", "李雷"]]).id
    recompute_wanted.func()
    assert rows(stages) == [(2,), (2,)]
    imports.step(made, "undo")
    recompute_wanted.func()
    assert rows("SELECT count(*) FROM people") == [(0,)]
    assert rows(stages) == [(0,), (0,)]


def test_files_that_an_import_named_are_hidden_until_it_is_undone(imports, api, api_with):
    field = {"key": "contract", "type": "file", "name_zh": "合同", "name_en": "contract"}
    api.post("/api/v1/fields", json={**field, "seen_with": ["people:merge"]})
    file = api.post("/api/v1/media", **upload_form(JPG, "a.jpg")).json["id"]
    reader, address = api_with("media:read", "people:read"), f"/api/v1/media/{file}/content"
    columns = {PHONE: "identity:phone", "合同": "field:contract"}
    made = imports.run("people", [PHONE, "合同"], [["13912345678", str(file)]], columns)
    assert reader.get(address).status_code == 404
    assert imports.step(made.id, "undo")["state"] == "undone"
    assert reader.get(address).status_code == 200
