"""Exports: fixed members, chosen columns, masked by what the key may read, kept for some days, every use written down."""

import csv
import io
from datetime import timedelta

import pytest
from python_calamine import CalamineWorkbook
from sqlalchemy import func, select, text

from scrm.audiences.jobs import remove_exports, write_exports
from scrm.audiences.models import ExportMember, ExportPart
from scrm.audiences.service import export_files, exporting
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import transaction
from scrm.media.service.files import file_store
from scrm.people.models import CustomField, PersonField
from tests.scrm.audiences.conftest import V1, call, named
from tests.tags.cases import give
from tests.tags.cases_of_people import person_of
from tests.tags.conftest import add, make_world

PLAIN = ("audiences:read", "audiences:write", "audiences:export", "people:write")
FEW = ("audiences:export",)


@pytest.fixture
def world(committed):
    with transaction():
        return make_world()


@pytest.fixture
def api(api_with, world):
    return api_with(*PLAIN)


@pytest.fixture
def people(world):
    """Two customers called vip, one with everything an export may show, and another."""
    with transaction():
        staff = world.staff("lisi")
        first, second = world.customer(name="vip", unionid="ox12345678901"), world.customer(name="vip")
        follow = world.follow(first, staff, remark="=1+1", remark_mobiles=["13812345678"])
        give(world, follow, world.tag("@金"))
        person = person_of(first)
        secret = {"type": "text", "name_zh": "身份", "name_en": "secret", "survivorship": "newest"}
        add(CustomField(key="secret", seen_with=["orders:read"], **secret))
        values = {"phone": "+8613812345678", "birthday": "1990-05-01", "secret": "x1", "gender": "female"}
        address = {"city": "上海", "street": "南京路 1"}
        for key, value in {**values, "address": address}.items():
            add(PersonField(person_id=person, field=key, value=value, source="t", at=utcnow()))
        world.customer(name="other")
    return first, second


@pytest.fixture
def vips(api, people):
    """Id of the audience of the two."""
    return call(api, "post", "/audiences", {"name": "VIP", "condition": named("vip")}, 201)["id"]


def export(api, id_, *columns, **more):
    """An export that was written, as the API shows it."""
    body = {**({"columns": list(columns)} if columns else {}), **more}
    made = call(api, "post", f"/audiences/{id_}/exports", body, 202)
    write_exports.func()
    return call(api, "get", f"/audience-exports/{made['id']}")


def fetched(api, made):
    answer = api.get(f"{V1}/audience-exports/{made['id']}/file")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert len(answer.data) == int(answer.headers["Content-Length"]) == made["size"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"].count("charset") <= 1
    return answer


def rows(api, made):
    """The rows of a CSV file, header first."""
    return list(csv.reader(io.StringIO(fetched(api, made).data.decode("utf-8-sig"))))


ALL = [
    "name", "unionid", "members", "remarks", "remark_mobiles", "tags", "person.phone", "person.birthday", "person.gender",
    "person.address", "person.secret",
]  # fmt: skip


def test_a_file_holds_the_chosen_columns_and_nothing_that_runs_as_a_formula(api, people, vips):
    made = export(api, vips, *ALL)
    assert (made["state"], made["total"], made["done"]) == ("ready", 2, 2)
    header, first, second = rows(api, made)
    assert header[:6] == ["昵称", "unionid", "跟进成员", "备注", "备注手机", "标签"]
    assert first[:7] == ["vip", "ox12345678901", "lisi", "'=1+1", "13812345678", "'@金", "'+8613812345678"]
    assert first[7:] == ["1990-05-01", "女", "上海 南京路 1", "***"]
    assert second == ["vip", *[""] * 10]
    assert made["masked"] == ["person.secret"], "this key lacks the permission that the field asks for"


def test_what_a_key_may_not_read_in_full_is_masked(api, api_with, people, vips):
    made = export(api_with(*FEW), vips, *ALL)
    assert set(made["masked"]) == {
        "unionid", "remark_mobiles", "person.phone", "person.address", "person.secret",
    }  # fmt: skip
    first = dict(zip(ALL, rows(api_with(*FEW), made)[1], strict=True))
    assert (first["unionid"], first["remark_mobiles"]) == ("ox1***01", "138***78")
    assert (first["person.phone"], first["person.address"], first["person.secret"]) == (
        "'+86***78",
        "上海",
        "***",
    )
    assert first["person.birthday"] == "1990-05-01"
    whole = export(api_with(*PLAIN, "orders:read"), vips, *ALL)
    assert (whole["masked"], rows(api_with(*PLAIN, "orders:read"), whole)[1][-1]) == ([], "x1")


def test_a_file_that_shows_more_than_a_key_may_read_is_not_given_to_it(api, api_with, vips):
    made = export(api, vips, "name", "person.phone")
    call(api_with(*FEW), "get", f"/audience-exports/{made['id']}/file", status=403)
    fetched(api_with(*FEW), export(api, vips, "name"))


def test_columns_are_listed_with_how_this_key_gets_them(api_with, people):
    told = call(api_with(*FEW), "get", "/audience-exports/columns")["items"]
    shown = {each["key"]: each["shown"] for each in told}
    assert (shown["name"], shown["person.phone"], shown["person.secret"]) == ("plain", "masked", "hidden")
    assert [each["key"] for each in told if each["default"]] == ["external_userid", "name", "members", "tags"]


def test_a_workbook_has_types_and_english_words(api, people, vips):
    made = export(
        api, vips, "customer_id", "remarks", "person.birthday", "person.gender", format="xlsx", language="en"
    )
    book = CalamineWorkbook.from_filelike(io.BytesIO(fetched(api, made).data))
    header, first, *_ = book.get_sheet_by_index(0).to_python()
    assert header == ["id", "remarks", "birthday", "gender"]
    assert (first[0], first[1], str(first[2]), first[3]) == (people[0].id, "=1+1", "1990-05-01", "female")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"columns": ["name", "password"]}, "columns.1"),
        ({"columns": []}, "columns"),
        ({"columns": ["name", "name"]}, "columns"),
        ({"format": "pdf"}, "format"),
        ({"rows": 5}, "rows"),
    ],
)
def test_what_is_wrong_is_named(api, vips, body, field):
    assert list(call(api, "post", f"/audiences/{vips}/exports", body, 422)["fields"]) == [field]


def test_members_are_fixed_when_writing_begins_and_a_killed_worker_goes_on(
    api, world, vips, monkeypatch, committed
):
    monkeypatch.setattr(exporting, "PART", 1)
    made = call(api, "post", f"/audiences/{vips}/exports", {"columns": ["customer_id"]}, 202)
    for _ in range(2):  # fixed, and one part; then the worker is gone
        with transaction():
            assert exporting.advance_export(made["id"])
    with transaction():
        world.customer(name="vip")
    write_exports.func()
    shown = call(api, "get", f"/audience-exports/{made['id']}")
    assert (shown["total"], shown["done"], len(rows(api, shown))) == (2, 2, 3)
    for model in (ExportMember, ExportPart):
        assert committed.scalar(select(func.count()).select_from(model)) == 0, "what it was made of is gone"
    assert not write_exports.due()


def test_a_limited_key_exports_its_own_customers_relations_and_tags(api, api_with, world, people, vips):
    with transaction():
        ours = world.staff("ours")
        world.follow(people[0], ours, remark="own")
    limited = api_with(*PLAIN, staff_ids=[ours.id])
    made = export(limited, vips, "external_userid", "members", "remarks", "tags")
    assert rows(limited, made)[1:] == [[people[0].external_userid, "ours", "own", ""]]
    everyones = export(api, vips, "name")
    call(limited, "get", f"/audience-exports/{everyones['id']}", status=404)
    call(limited, "get", f"/audience-exports/{everyones['id']}/file", status=404)
    assert [each["id"] for each in call(limited, "get", "/audience-exports")["items"]] == [made["id"]]
    call(limited, "get", "/audience-exports/log", status=403)
    fetched(api, made)


def test_every_use_is_written_down(api, api_with, vips):
    made = export(api_with(*FEW), vips, "name", "unionid")
    fetched(api, made)
    call(api, "delete", f"/audience-exports/{made['id']}", status=204)
    log = call(api, "get", f"/audience-exports/log?audience_id={vips}")["items"]
    assert [each["use"] for each in log] == ["deleted", "downloaded", "requested"]
    assert [each["rows"] for each in log] == [2, 2, None]
    assert log[1]["by"] != log[2]["by"]
    assert (log[2]["columns"], log[2]["masked"]) == (["name", "unionid"], ["unionid"])
    assert call(api, "get", "/audience-exports/log?audience_id=99999")["items"] == []


def test_a_file_lives_for_its_days_and_can_be_removed_before(api, vips):
    old, early = export(api, vips, "name"), export(api, vips, "name")
    call(api, "delete", f"/audience-exports/{early['id']}", status=204)
    call(api, "get", f"/audience-exports/{early['id']}/file", status=409)
    remove_exports.func()
    assert call(api, "get", f"/audience-exports/{early['id']}")["state"] == "expired"
    fetched(api, old)
    with shifted(timedelta(days=7)):
        call(api, "get", f"/audience-exports/{old['id']}/file", status=409)
        assert remove_exports.due()
        remove_exports.func()
        remove_exports.func()
    with pytest.raises(FileNotFoundError):
        file_store().pieces(f"exports/{old['id']}.csv")


def test_a_file_that_is_put_away_while_its_export_is_deleted_goes_too(api, vips, monkeypatch):
    made, keep = call(api, "post", f"/audiences/{vips}/exports", {}, 202), export_files.keep_file

    def meanwhile_deleted(*given):
        call(api, "delete", f"/audience-exports/{made['id']}", status=204)
        remove_exports.func()  # another worker, before the file is there
        keep(*given)

    monkeypatch.setattr(export_files, "keep_file", meanwhile_deleted)
    write_exports.func()
    assert remove_exports.due()
    remove_exports.func()
    assert call(api, "get", f"/audience-exports/{made['id']}")["state"] == "expired"
    with pytest.raises(FileNotFoundError):
        file_store().pieces(f"exports/{made['id']}.csv")


def test_a_workbook_too_large_to_be_made_says_so(api, vips, monkeypatch):
    monkeypatch.setattr(exporting, "XLSX_CELLS", 3)
    made = export(api, vips, "name", "tags", format="xlsx")
    assert (made["state"], "4 cells" in made["error"], "csv" in made["error"]) == ("failed", True, True)
    assert export(api, vips, "name", "tags")["state"] == "ready"


def test_an_audience_that_can_no_longer_be_worked_out_ends_the_export_with_the_reason(api, vips, committed):
    made = call(api, "post", f"/audiences/{vips}/exports", {}, 202)
    with transaction():
        committed.execute(text("""UPDATE audiences SET condition = '{"kind": "gone"}'"""))
    write_exports.func()
    shown = call(api, "get", f"/audience-exports/{made['id']}")
    assert (shown["state"], "condition.kind" in shown["error"]) == ("failed", True)
    call(api, "get", f"/audience-exports/{made['id']}/file", status=409)


def test_a_store_that_cannot_be_reached_is_tried_again_and_not_for_ever(api, vips, settings):
    made = call(api, "post", f"/audiences/{vips}/exports", {}, 202)
    folder = settings.var_dir / "media" / "exports"
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        folder.rename(folder.with_name("exports-aside"))
    folder.write_text("in the way")
    try:
        write_exports.func()
        assert call(api, "get", f"/audience-exports/{made['id']}")["state"] == "writing"
        for _ in range(exporting.MOST_ATTEMPTS):
            write_exports.func()
        shown = call(api, "get", f"/audience-exports/{made['id']}")
        assert (shown["state"], "in 5 tries" in shown["error"]) == ("failed", True)
        assert not write_exports.due()
    finally:
        folder.unlink()
        if (aside := folder.with_name("exports-aside")).exists():
            aside.rename(folder)


def test_exporting_needs_a_permission_of_its_own(api_with, vips):
    reader = api_with("audiences:read", "audiences:write", "people:write")
    call(reader, "post", f"/audiences/{vips}/exports", {}, 403)
    call(reader, "get", "/audience-exports", status=403)
