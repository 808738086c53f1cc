"""Orders with lines, products and events from files, and their undo."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from scrm.imports.service.journal import noted, watching
from scrm.kernel.db import session as current_session
from scrm.kernel.db import transaction

ORDERS = ["订单编号", "手机号", "下单时间", "付款时间", "商品编号", "商品名称", "数量", "小计", "币种"]
LINES = [
    ["T1", "13912345678", "2024-01-02 10:00", "2024-01-02 10:05", "P1", "鞋", "1", "199.00", "人民币"],
    ["T1", "13912345678", "2024-01-02 10:00", "2024-01-02 10:05", "P2", "袜", "2", "¥1,020.50", "人民币"],
    ["T2", "13912345679", "2024/1/3 9:00", None, "P1", "鞋", "1", "199", "人民币"],
]
TABLES = [
    "people", "identities", "orders", "order_lines", "order_statuses", "products", "behaviour_events", "event_keys",
    "event_days", "person_records",
]  # fmt: skip


def world(rows):
    return {table: rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in TABLES}  # noqa: S608  # our tables


@pytest.fixture
def visited(api):
    """An event type with two properties."""
    made = {
        "key": "visited", "name_zh": "来访", "name_en": "visited",
        "properties": [
            {"key": "pages", "type": "integer", "name_zh": "页数", "name_en": "pages"},
            {"key": "shop", "type": "text", "name_zh": "门店", "name_en": "shop"},
        ],
    }  # fmt: skip
    assert api.post("/api/v1/event-types", json=made).status_code == 201


def test_rows_of_one_order_become_its_lines(imports, rows):
    done = imports.run("orders", ORDERS, LINES).done
    assert (done["state"], done["done"]) == ("done", {"new": 3})
    assert rows("SELECT source_id, amount, currency, status FROM orders ORDER BY source_id") == [
        ("T1", pytest.approx(1219.5), "CNY", "paid"),
        ("T2", pytest.approx(199), "CNY", "placed"),
    ]
    assert rows("SELECT line_no, product_ref, quantity FROM order_lines ORDER BY order_id, line_no") == [
        (1, "P1", 1),
        (2, "P2", 2),
        (1, "P1", 1),
    ]
    placed = rows("SELECT placed_at AT TIME ZONE 'Asia/Shanghai' FROM orders WHERE source_id = 'T2'")
    assert placed[0][0].isoformat() == "2024-01-03T09:00:00"


def test_orders_of_years_ago_get_months_of_timelines_of_their_own(imports, rows):
    imports.run("orders", ORDERS, [[line[0], line[1], "2019-07-02 10:00", None, *line[4:]] for line in LINES])
    assert rows("SELECT to_regclass('timeline_2019_07') IS NOT NULL") == [(True,)]


def test_lines_of_an_order_that_crosses_a_chunk_stay_together(imports, rows, monkeypatch):
    monkeypatch.setattr("scrm.imports.service.uploading.CHUNK_ROWS", 2)
    given = [[f"T{n // 3}", *LINES[0][1:4], f"P{n}", *LINES[0][5:]] for n in range(12)]
    found = imports.run("orders", ORDERS, given)
    assert (found.tried["tally"], found.done["done"]) == ({"new": 12}, {"new": 12})
    assert rows("SELECT count(*) FROM order_lines GROUP BY order_id") == [(3,)] * 4


def test_lines_that_stand_apart_are_refused_with_the_row_of_the_first(imports):
    found = imports.tried("orders", ORDERS, [LINES[0], LINES[2], LINES[1]])
    assert found["tally"] == {"new": 2, "error": 1}
    (wrong,) = imports.rows(found["id"], "error")
    assert wrong["row"] == 4
    assert "row 2" in wrong["problems"]["订单编号"]


def test_a_wrong_line_refuses_its_order_and_names_row_and_column(imports):
    found = imports.tried("orders", ORDERS, [LINES[0], [*LINES[1][:6], "0", *LINES[1][7:]], LINES[2]])
    assert found["tally"] == {"new": 1, "error": 2}
    wrong = imports.rows(found["id"], "error")
    assert [(one["row"], list(one["problems"])) for one in wrong] == [(2, ["row"]), (3, ["数量"])]


@pytest.mark.parametrize(
    ("status", "at", "column"), [("吃了", "2024-01-05", "状态"), ("paid", "2999-01-05", "时间")]
)
def test_what_is_wrong_with_a_status_or_its_time_is_told_of_its_own_column(imports, status, at, column):
    header = ["订单编号", "状态", "时间", "手机号", "订单金额", "币种"]
    columns = dict(
        zip(header, ("source_id", "status", "at", "identity:phone", "amount", "currency"), strict=True)
    )
    found = imports.tried("orders", header, [["T1", status, at, "13912345678", "5", "CNY"]], columns)
    wrong = imports.rows(found["id"], "error")
    assert [list(one["problems"]) for one in wrong] == [[column]]


def test_the_undo_of_orders_leaves_nothing(imports, rows):
    before = world(rows)
    id_ = imports.run("orders", ORDERS, LINES).id
    undone = imports.step(id_, "undo")
    assert (undone["state"], undone["undo"]["conflicts"]) == ("undone", 0)
    assert world(rows) == before


def test_an_order_that_went_on_since_is_left_whole(imports, api, rows):
    id_ = imports.run("orders", ORDERS, LINES).id
    shipped = {"source_id": "T1", "history": [{"status": "shipped", "at": "2024-01-05T10:00:00+08:00"}]}
    answer = api.post("/api/v1/orders:batch", json={"source": "crm", "orders": [shipped]})
    assert answer.json["updated"] == 1
    undone = imports.step(id_, "undo")
    assert undone["state"] == "undone"
    assert {"table": "orders", "record": "T1", "why": "changed since"} in undone["undo"]["left"]
    assert rows("SELECT source_id FROM orders") == [("T1",)]
    assert rows("SELECT count(*) FROM order_lines") == [(2,)]
    assert rows("SELECT count(*) FROM order_statuses") == [(3,)]
    assert rows("SELECT count(*) FROM people") == [(1,)]  # who bought T1 stays, who bought T2 goes


def test_products_and_their_undo_while_orders_name_them(imports, rows):
    header, given = (
        ["商品编号", "商品名称", "价格", "币种", "在售"],
        [["P1", "鞋", "199", "CNY", "上架"], ["P2", "袜", "20", "CNY", "否"]],
    )
    imports.run("orders", ORDERS, LINES)
    before = world(rows)
    id_ = imports.run("products", header, given).id
    assert rows("SELECT name, on_sale FROM products ORDER BY source_id") == [("鞋", True), ("袜", False)]
    assert rows("SELECT count(*) FROM order_lines WHERE product_id IS NOT NULL") == [(3,)]
    changed = imports.run("products", header, [["P1", "运动鞋", "199", "CNY", "上架"]])
    assert imports.rows(changed.id, "changed")[0]["changes"] == [
        {"field": "name", "before": "鞋", "after": "运动鞋"}
    ]
    imports.step(changed.id, "undo")
    assert rows("SELECT name FROM products ORDER BY source_id") == [("鞋",), ("袜",)]
    imports.step(id_, "undo")
    assert world(rows) == before


def test_events_without_ids_are_known_by_file_and_row(imports, rows, visited):
    header, constants = ["手机", "时间", "页数", "门店"], {"type": "visited"}
    given = [["13912345678", "2024-05-01 08:00", "3", "A"], ["13912345678", "2024-05-01 08:00", "3", "A"]]
    before = world(rows)
    columns = {"手机": "identity:phone", "时间": "at", "页数": "property:pages", "门店": "property:shop"}
    first = imports.run("events", header, given, columns, constants=constants)
    assert first.done["done"] == {"new": 2}
    assert rows("SELECT count FROM event_days") == [(2,)]
    again = imports.run("events", header, given, columns, constants=constants)
    assert again.done["done"] == {"unchanged": 2}
    imports.step(first.id, "undo")
    assert world(rows) == before


def test_suggestions_know_the_properties_of_the_type(imports, visited):
    from tests.scrm.imports.conftest import csv_file

    made = imports.upload("events", csv_file(["电话", "发生时间", "pages"], [["1", "2", "3"]]))
    found = imports.get(f"/{made['id']}/suggestion?type=visited")["columns"]
    assert {one["to"] for one in found} == {"identity:phone", "at", "property:pages"}


def test_many_changed_records_ask_for_a_yes(imports, app, settings):
    from scrm.kernel.settings import EXTENSION

    header = ["手机", "姓名"]
    imports.run("people", header, [[f"1391234567{n}", f"n{n}"] for n in range(6)])
    strict = settings.imports.model_copy(update={"storm_min": 3, "storm_share": 0.5})
    app.extensions[EXTENSION] = settings.model_copy(update={"imports": strict})
    try:
        found = imports.tried("people", header, [[f"1391234567{n}", f"m{n}"] for n in range(4)])
        refused = imports.post(f"/{found['id']}/start", {}, status=(409,))
        assert refused["code"] == "import-storm"
        assert (refused["fields"]["changed"], refused["fields"]["base"]) == ("4", "6")
        done = imports.step(found["id"], "start", confirm=refused["fields"]["confirm"])
        assert done["done"] == {"changed": 4}
    finally:
        app.extensions[EXTENSION] = settings


def test_who_is_used_by_others_stays_after_the_undo(imports, api, rows):
    id_ = imports.run("people", ["手机", "姓名"], [["13912345678", "王芳"]]).id
    order = {
        "source_id": "T9", "identities": {"phone": "13912345678"}, "amount": "5", "currency": "CNY",
        "history": [{"status": "paid", "at": "2024-01-05T10:00:00+08:00"}],
    }  # fmt: skip
    assert api.post("/api/v1/orders:batch", json={"source": "till", "orders": [order]}).json["created"] == 1
    undone = imports.step(id_, "undo")
    assert {one["why"] for one in undone["undo"]["left"]} == {"used by others"}
    assert rows("SELECT count(*) FROM people") == [(1,)]
    assert rows("SELECT value FROM identities") == [("+8613912345678",)]
    assert rows("SELECT count(*) FROM person_values") == [(0,)]


def test_a_value_that_somebody_changed_since_stays(imports, api, rows):
    id_ = imports.run("people", ["手机", "姓名"], [["13912345678", "王芳"]]).id
    person = rows("SELECT id FROM people")[0][0]
    answer = api.patch(f"/api/v1/people/{person}/fields", json={"values": {"name": "王芳芳"}})
    assert answer.status_code == 200
    imports.step(id_, "undo")
    assert rows("SELECT value, source FROM person_fields") == [("王芳芳", "staff")]


def test_forgetting_deletes_what_is_personal_and_keeps_figures(imports, rows):
    id_ = imports.run("people", ["手机", "姓名"], [["13912345678", "王芳"]]).id
    made = imports.post(f"/{id_}/forget")
    assert (made["done"], made["columns"][0]["samples"]) == ({"new": 1}, [])
    assert rows("SELECT count(*) FROM import_chunks") == [(0,)]
    imports.post(f"/{id_}/undo", {}, status=(409,))
    kept = rows("SELECT CAST(i AS text) FROM imports i")[0][0]
    assert "王芳" not in kept
    assert "13912345678" not in kept


def test_only_what_an_import_writes_is_noted(session):
    with transaction():
        with watching():
            current_session().execute(text("INSERT INTO people DEFAULT VALUES"))
        current_session().execute(text("INSERT INTO people DEFAULT VALUES"))
        assert {table: len(entries) for table, entries in noted().items()} == {"people": 1}
