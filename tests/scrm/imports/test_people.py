"""People from a file: mapped, tried, written, undone."""

from __future__ import annotations

from tests.scrm.imports.conftest import csv_file, xlsx_file

HEADER = ["姓名", "手机号", "性别", "生日"]
GIVEN = [["王芳", "13912345678", "女", "1990/5/17"], ["李雷", "13912345679", "男", "1988年1月2日"]]


def test_a_file_of_people_becomes_people(imports, rows):
    done = imports.run("people", HEADER, GIVEN).done
    assert (done["state"], done["done"]) == ("done", {"new": 2})
    assert rows("SELECT value FROM identities ORDER BY value") == [("+8613912345678",), ("+8613912345679",)]
    assert rows("SELECT field, value FROM person_fields ORDER BY person_id, field")[:3] == [
        ("birthday", "1990-05-17"),
        ("gender", "female"),
        ("name", "王芳"),
    ]


def test_the_dry_run_leaves_nothing_behind(imports, rows):
    found = imports.tried("people", HEADER, GIVEN)
    assert (found["state"], found["tally"]) == ("checked", {"new": 2})
    assert rows("SELECT count(*) FROM people") == [(0,)]
    assert rows("SELECT count(*) FROM person_records") == [(0,)]


def test_the_same_file_again_changes_nothing_and_is_told(imports, rows):
    first = imports.run("people", HEADER, GIVEN)
    again = imports.run("people", HEADER, GIVEN)
    assert again.tried["same_file_as"] == first.id
    assert (again.tried["tally"], again.done["done"]) == ({"unchanged": 2}, {"unchanged": 2})
    assert rows("SELECT count(*) FROM person_values") == [(6,)]


def test_the_undo_gives_back_everything(imports, rows):
    before = world(rows)
    id_ = imports.run("people", HEADER, GIVEN).id
    looked = imports.step(id_, "undo", dry_run=True)
    assert looked["state"] == "done"
    assert looked["undo"]["conflicts"] == 0
    assert rows("SELECT count(*) FROM people") == [(2,)]
    undone = imports.step(id_, "undo")
    assert (undone["state"], undone["undo"]["conflicts"]) == ("undone", 0)
    assert undone["undo"]["restored"] == looked["undo"]["restored"]
    assert world(rows) == before


def world(rows):
    tables = ["people", "identities", "person_values", "person_fields", "person_records", "person_matches"]
    return {table: rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables}  # noqa: S608  # our tables


def test_changed_fields_are_shown_old_and_new_and_come_back(imports, rows):
    imports.run("people", HEADER, GIVEN)
    before = world(rows)
    changed = imports.run("people", HEADER, [["王芳芳", "13912345678", "女", "1990/5/17"]])
    assert changed.tried["tally"] == {"changed": 1}
    assert imports.rows(changed.id, "changed")[0]["changes"] == [
        {"field": "name", "before": "王芳", "after": "王芳芳"}
    ]
    assert rows("SELECT value FROM person_fields WHERE field = 'name' AND value ? '王芳芳'") == [("王芳芳",)]
    imports.step(changed.id, "undo")
    assert world(rows) == before


def test_what_is_wrong_is_told_by_row_and_column_and_can_be_mended(imports, api):
    given = [*GIVEN, ["张三", "12", "女", "1990/5/17"], ["李四", "13912345670", "女", "17.5.90"]]
    id_ = imports.tried("people", HEADER, given)["id"]
    wrong = imports.rows(id_, "error")
    assert [(one["row"], sorted(one["problems"])) for one in wrong] == [(4, ["手机号"]), (5, ["生日"])]
    body = api.get(f"/api/v1/imports/{id_}/errors?format=csv").data.decode("utf-8-sig")
    lines = body.splitlines()
    assert lines[0] == "姓名,手机号,性别,生日,错误 Error"
    assert lines[1].startswith("张三,12,女,1990/5/17,手机号: ")


def test_everything_that_is_wrong_with_a_row_is_told_at_once(imports):
    id_ = imports.tried("people", HEADER, [["张三", "13912345678", "猫", "17.5.90"]])["id"]
    (wrong,) = imports.rows(id_, "error")
    assert wrong["problems"].keys() == {"性别", "生日"}
    assert imports.step(id_, "start")["done"] == {"error": 1}
    assert imports.rows(id_, "error") == [wrong]


def test_xlsx_with_phones_as_numbers(imports, rows):
    made = imports.upload("people", xlsx_file(["手机", "会员号"], [[13912345678, 100200300]]), "a.xlsx")
    imports.map(made["id"])
    imports.step(made["id"], "dry-run")
    assert imports.step(made["id"], "start")["done"] == {"new": 1}
    assert rows("SELECT kind, value FROM identities ORDER BY kind") == [
        ("member_no", "100200300"),
        ("phone", "+8613912345678"),
    ]


def test_a_mapping_that_does_not_fit_is_refused_by_part(imports):
    id_ = imports.upload("people", csv_file(["a"], [["x"]]))["id"]
    answer = imports.map(id_, {"b": "identity:phone"}, status=422)
    assert answer["fields"]["columns.0"].startswith("the file has no column b")
    answer = imports.map(id_, {"a": "field:name"}, status=422)
    assert "who it is" in answer["fields"]["identity:phone"]
