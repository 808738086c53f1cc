"""The files hold exactly the rows that PostgreSQL holds."""

# ruff: noqa: DTZ001, S608  # DuckDB keeps times in UTC without a zone; names of tables are our own

import stat
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import duckdb
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from scrm.behaviour.service.checking import PropertyType
from tags.columns.service.json_values import all_fit, value_of
from tags.columns.service.shelf import Source, folder
from tests.profiles import examples
from tests.tags.columns.facts import event, event_type, order, written

MAY = datetime(2026, 5, 3, 12, 0, 0, 123456, tzinfo=UTC)
ODD = [
    "",
    '"',
    "a\nb",
    "\r\n",
    "\\",
    '\\"',
    "\t",
    "\u0001",
    "é",
    "e\u0301",
    "中文",
    "👩‍👩‍👧",
    "\\N",
    "null",
    ",",
    "'",
    "\u2028",
    "\x7f",
]
texts = st.one_of(
    st.sampled_from(ODD), st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
)
numbers = st.one_of(
    st.integers(-(10**13), 10**13),
    st.decimals(-(10**13), 10**13, places=4, allow_nan=False).map(str),
    st.sampled_from(["0.00001", "1.23450", "-0.0", "12345678901234", "9999999999999.9999", "1e3", "1E-4", "0.1000000000000001"]),
)  # fmt: skip
moments = st.datetimes(datetime(1900, 1, 1), datetime(2199, 1, 1), timezones=st.just(UTC)).map(
    datetime.isoformat
)
RIGHT = {
    PropertyType.TEXT: texts.map(lambda value: orjson.dumps(value).decode()),
    PropertyType.NUMBER: numbers.map(str),
    PropertyType.BOOLEAN: st.sampled_from(["true", "false"]),
    PropertyType.TIME: moments.map(lambda value: f'"{value}"'),
}
ANY = st.one_of(*RIGHT.values(), st.sampled_from(["null", "[]", "{}", '["a"]', '"2026-02-30T10:00:00Z"', '"24:00"', '"2026-05-01T24:00Z"']))  # fmt: skip


@pytest.fixture(scope="module")
def duck():
    with duckdb.connect(config={"threads": 1}) as connection:
        yield connection


@pytest.fixture
def asked(session):
    """What PostgreSQL makes of JSON values, as the compiler asks: (typed value, fits) of each."""
    return lambda statement, **values: session.execute(statement, values).all()


MEANT = {
    PropertyType.TEXT: "CASE WHEN jsonb_typeof(v) = 'string' THEN v #>> '{}' END",
    PropertyType.NUMBER: "CASE WHEN jsonb_typeof(v) = 'number' THEN CAST(v AS numeric) END",
    PropertyType.BOOLEAN: "CASE WHEN jsonb_typeof(v) = 'boolean' THEN CAST(v AS boolean) END",
    PropertyType.TIME: r"CASE WHEN v #>> '{}' ~ '^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}' AND pg_input_is_valid(v #>> '{}', 'timestamptz')"
    " THEN timezone('UTC', CAST(v #>> '{}' AS timestamptz)) END",
}


@pytest.mark.parametrize("kind", MEANT)
@examples(20)
@given(data=st.data())
def test_a_value_fits_its_column_exactly_or_is_left_out(asked, duck, kind, data):
    right = data.draw(st.lists(RIGHT[kind], min_size=1, max_size=8))
    odd = data.draw(st.lists(ANY, max_size=4))
    told = asked(
        text(f"SELECT CAST(v AS text), {MEANT[kind]} FROM unnest(CAST(:given AS jsonb[])) AS v"),
        given=[*right, *odd],
    )
    question = f"SELECT {all_fit(kind, 's')}, any_value({value_of(kind, 's')}) FROM (SELECT $1 AS s)"
    for said, meant in told:
        fits, value = duck.execute(question, [said]).fetchone()
        assert not fits or value == meant, said
        assert fits or meant is None or kind in (PropertyType.NUMBER, PropertyType.TIME), said
        if not fits and kind is PropertyType.NUMBER and meant is not None:
            assert abs(meant) >= 10**13 or meant != meant.quantize(Decimal("0.0001")), said
        assert fits or said not in right[:1] or kind is PropertyType.NUMBER, "what the intake stores fits"


def test_a_month_is_there_with_every_value(build):
    kinds = {"t": "text", "n": "number", "i": "integer", "b": "boolean", "w": "time", "l": "list"}
    type_id = event_type(**kinds)
    values = [
        {"t": each, "n": 1.25, "i": 3, "b": True, "w": "2026-05-01T10:00:00+00:00", "l": ["a"]}
        for each in ODD
    ]
    for n, each in enumerate([*values, {}, dict.fromkeys("tnibwl")]):
        event(n, MAY - timedelta(minutes=n), type_id, **each)
    event(99, datetime(2026, 4, 30, 16, tzinfo=UTC), type_id)
    first, second = build().of(Source.EVENTS)
    assert (first.month, second.month, second.rows) == (date(2026, 4, 1), date(2026, 5, 1), len(ODD) + 2)
    assert first.typed == second.typed == {type_id: {key: kind for key, kind in kinds.items() if key != "l"}}
    assert written(first, f'SELECT "at", day FROM events_{type_id}') == [
        (datetime(2026, 4, 30, 16), date(2026, 5, 1))
    ]
    found = written(second, f"SELECT * FROM events_{type_id}")
    assert [row[1] for row in found] == sorted(row[1] for row in found), "in the order of time"
    said = {row[0]: row[1:] for row in found}
    for n, each in enumerate(ODD):
        at = MAY.replace(tzinfo=None) - timedelta(minutes=n)
        assert said[n] == (at, date(2026, 5, 3), each, Decimal("1.25"), 3, True, datetime(2026, 5, 1, 10)), (
            each
        )
    assert said[len(ODD)][2:] == said[len(ODD) + 1][2:] == (None,) * 5


def test_a_property_with_one_odd_value_has_no_column_in_its_month(build):
    type_id, other = event_type(a="text", n="number", b="boolean"), event_type(a="text")
    event(1, MAY, type_id, a="x", n=1, b=True)
    event(1, MAY, type_id, a=5, n=0.00001, b="true")
    event(1, MAY, other, a="x")
    event(1, MAY - timedelta(days=31), type_id, a="x", n=10**12, b=False)
    before, chunk = build().of(Source.EVENTS)
    assert before.typed == {type_id: {"a": "text", "n": "number", "b": "boolean"}}
    assert chunk.typed == {type_id: {}, other: {"a": "text"}}
    assert chunk.left_out == {type_id: {"a": "text", "n": "number", "b": "boolean"}}
    assert written(chunk, f"SELECT count(*) FROM events_{type_id}") == [(2,)]


def test_keys_that_differ_in_case_alone_have_one_column(build):
    type_id = event_type(Page="text", page="text", select="text")
    event(1, MAY, type_id, Page="A", page="a", select="s")
    (chunk,) = build().of(Source.EVENTS)
    assert chunk.typed == {type_id: {"Page": "text", "select": "text"}}
    assert written(chunk, f'SELECT "p_Page", p_select FROM events_{type_id}') == [("A", "s")]


def test_orders_are_there_with_their_lines(build, committed):
    given = {
        "amount": Decimal("12.3456"),
        "currency": "CNY",
        "shop": '外滩"店\n',
        "region": "",
        "paid_at": MAY,
    }
    id_ = order(7, MAY, **given)
    order(None, MAY)
    committed.execute(
        text("INSERT INTO products (source, source_id, name, version_at) VALUES ('s', 'p', 'p', now())")
    )
    committed.execute(
        text("INSERT INTO order_lines (order_id, line_no, product_ref, product_id, quantity, amount)"
             " SELECT :id, n, 'p', CASE n WHEN 1 THEN (SELECT id FROM products) END, 1, 1 FROM generate_series(1, 2) n"),
        {"id": id_},
    )  # fmt: skip
    (chunk,) = build().of(Source.ORDERS)
    at = MAY.replace(tzinfo=None)
    assert written(chunk, "SELECT * FROM orders") == [
        (id_, 7, "placed", at, at, None, None, None, None, Decimal("12.3456"), "CNY", '外滩"店\n', "", None)
    ]
    assert written(chunk, "SELECT order_id FROM order_lines") == [(id_,)]
    assert chunk.rows == 1


def test_nobody_else_can_read_the_files_and_nothing_else_is_left(build):
    event(1, MAY)
    build()
    assert stat.S_IMODE(folder().stat().st_mode) == 0o700
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder().iterdir()}
    assert {name: mode for name, mode in files.items() if name != "columns.json"} == {
        name: 0o600 for name in files if name.endswith(".duckdb")
    }
    assert len(files) == 3, "the list, the events, the people"
