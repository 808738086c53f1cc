"""The way of an import: reading by the job, cancelling, forgetting, and what stops it."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest

from scrm.imports.jobs import forget_imports, step, work_until_rest
from scrm.kernel.clock import shifted
from tests.scrm.imports.conftest import csv_file

HEADER = ["手机", "姓名"]


def people(count):
    return [[f"139{n:08}", f"n{n}"] for n in range(1, count + 1)]


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr("scrm.imports.service.uploading.CHUNK_ROWS", 4)


def test_a_large_file_is_read_by_the_job(imports, monkeypatch):
    monkeypatch.setattr("scrm.imports.views.AT_ONCE_BYTES", 0)
    made = imports.upload("people", csv_file(HEADER, people(3)))
    assert (made["state"], made["columns"]) == ("reading", [])
    work_until_rest(made["id"])
    made = imports.get(f"/{made['id']}")
    assert (made["state"], made["rows"]) == ("ready", 3)
    assert made["columns"][0] == {"name": "手机", "filled": 3, "samples": [f"139{n:08}" for n in (1, 2, 3)]}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a\0b\u200b.csv", "ab.csv"),
        ("../../etc/客户.csv", "客户.csv"),
        ("\0", "table"),
    ],
)
def test_a_file_is_kept_under_the_printable_part_of_its_own_name(imports, given, kept):
    assert imports.upload("people", csv_file(["手机"], [["13912345678"]]), given)["filename"] == kept


def test_titles_above_the_header_and_empty_rows_are_passed_over(imports):
    text = "客户名单,\n,\n手机,\n\n13912345678,王芳\n,\n13912345679,李雷\n"
    made = imports.upload("people", io.BytesIO(text.encode()), header_row="3")
    assert ([one["name"] for one in made["columns"]], made["rows"]) == (["手机", "第2列 column 2"], 2)
    imports.map(made["id"], {"手机": "identity:phone", "第2列 column 2": "field:name"})
    imports.step(made["id"], "dry-run")
    assert [one["row"] for one in imports.rows(made["id"], "new")] == [5, 7]


def test_a_file_that_cannot_be_read_says_why(imports):
    made = imports.upload("people", io.BytesIO(b'a,b\n1,"2\n'))
    assert made["state"] == "failed"
    assert "quotation mark" in made["error"]
    imports.post(f"/{made['id']}/dry-run", status=(409,))
    imports.upload("people", io.BytesIO(b""), status=422)
    imports.upload("nothing", csv_file(HEADER, []), status=422)


def test_a_cancelled_run_keeps_what_it_wrote_and_is_undone(imports, rows, small_chunks):
    id_ = imports.tried("people", HEADER, people(10))["id"]
    imports.post(f"/{id_}/start")
    step(id_)
    shown = imports.get(f"/{id_}")
    assert (shown["state"], shown["progress"]["done"], shown["progress"]["total"]) == ("running", 4, 10)
    assert imports.post(f"/{id_}/cancel")["state"] == "cancelled"
    work_until_rest(id_)
    assert rows("SELECT count(*) FROM people") == [(4,)]
    assert imports.step(id_, "undo", dry_run=True)["state"] == "cancelled"
    assert imports.step(id_, "undo")["state"] == "undone"
    assert rows("SELECT count(*) FROM people") == [(0,)]


def test_an_import_starts_only_after_its_own_dry_run(imports):
    id_ = imports.upload("people", csv_file(HEADER, people(2)))["id"]
    assert "no mapping" in imports.post(f"/{id_}/dry-run", status=(409,))["detail"]
    imports.map(id_)
    imports.post(f"/{id_}/start", status=(409,))
    imports.step(id_, "dry-run")
    imports.map(id_, {"手机": "identity:phone"})
    assert imports.get(f"/{id_}")["tally"] == {}
    imports.post(f"/{id_}/start", status=(409,))
    imports.post(f"/{id_}/undo", status=(409,))


def test_a_field_that_is_archived_meanwhile_stops_the_import_with_the_reason(imports, api):
    field = {"key": "size", "type": "text", "name_zh": "尺码", "name_en": "size"}
    assert api.post("/api/v1/fields", json=field).status_code == 201
    made = imports.tried("people", ["手机", "尺码"], [["13912345678", "L"]])
    assert api.patch("/api/v1/fields/size", json={"archived": True}).status_code == 200
    stopped = imports.step(made["id"], "start")
    assert stopped["state"] == "ready"
    assert "columns.1" in stopped["error"]


def test_after_keep_days_the_files_are_gone_and_figures_stay(imports, rows, settings):
    id_ = imports.run("people", HEADER, people(2)).id
    forget_imports()
    assert rows("SELECT count(*) FROM import_chunks") == [(1,)]
    with shifted(timedelta(days=settings.imports.keep_days, minutes=1)):
        forget_imports()
    assert rows("SELECT count(*) FROM import_chunks") == [(0,)]
    made = imports.get(f"/{id_}")
    assert (made["done"], made["filename"], made["forgotten_at"] is not None) == (
        {"new": 2},
        f"import-{id_}",
        True,
    )
    assert imports.rows(id_, "new") == []
    imports.get(f"/{id_}/errors", status=409)


def test_a_number_that_excel_shortened_is_named(imports):
    found = imports.tried("people", ["会员号"], [["1.38E+10"], ["M1"]])
    assert found["tally"] == {"new": 1, "error": 1}
    assert "shortened by Excel" in imports.rows(found["id"], "error")[0]["problems"]["会员号"]
