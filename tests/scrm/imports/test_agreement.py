"""Over random files: what the dry run says is what the run does, and the undo gives back exactly what there was."""

from __future__ import annotations

import random

import pytest

NAMES, PHONES = ["王芳", "李雷", "韩梅", None], [f"139123456{n:02}" for n in range(5)] + ["12", None]
MEMBERS = ["M1", "M2", "M3", "M4", None, None]
TABLES = [
    "people", "identities", "identity_claims", "blocked_values", "person_values", "person_fields", "person_records",
    "person_matches", "orders", "order_lines", "order_statuses", "products",
]  # fmt: skip
PEOPLE = {
    "编号": "source_id",
    "手机": "identity:phone",
    "会员号": "identity:member_no",
    "姓名": "field:name",
    "公司": "field:company",
}
ORDERS = {
    "订单号": "source_id", "手机": "identity:phone", "付款时间": "paid_at", "货号": "line:product", "数量": "line:quantity",
    "小计": "line:amount", "币种": "currency",
}  # fmt: skip


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr("scrm.imports.service.uploading.CHUNK_ROWS", 3)


def world(rows):
    return {table: sorted(map(str, rows(f"SELECT to_jsonb(t) FROM {table} t"))) for table in TABLES}  # noqa: S608  # our tables


def people(rng):
    ids = rng.choice([None, ["A", "B", "C", "D", "E"]])
    return [
        [rng.choice(ids) if ids else None, *map(rng.choice, (PHONES, MEMBERS, NAMES, ["甲", "乙", None]))]
        for _ in range(rng.randint(1, 14))
    ]


def orders(rng):
    made = []
    for number in rng.sample(range(6), rng.randint(1, 5)):
        phone, paid = rng.choice(PHONES), f"2024-01-0{rng.randint(1, 9)} 08:00"
        made += [
            [f"T{number}", phone, paid, f"P{n}", rng.choice(["1", "2", "0", "x"]), "10.50", "CNY"]
            for n in range(rng.randint(1, 4))
        ]
    return made


def told(imports, id_):
    """The report, without the ids of rows that a dry run makes and drops."""
    return {
        kind: [(one["row"], one.get("changes"), one.get("problems")) for one in imports.rows(id_, kind)]
        for kind in ("new", "changed", "unchanged", "error")
    }


def bare(found):
    return [
        (row, problems, [(c["field"], str(c["before"]), str(c["after"])) for c in changes or [] if c["field"] != "person_id"])
        for row, changes, problems in found
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_dry_run_and_run_agree_and_the_undo_restores(imports, rows, seed):
    rng = random.Random(seed)
    for turn in range(3):
        target, columns, make = rng.choice([("people", PEOPLE, people), ("orders", ORDERS, orders)])
        before = world(rows)
        source = rng.choice(["crm", "till"])
        tried = imports.tried(target, list(columns), make(rng), columns, source=source)
        assert world(rows) == before
        expected = told(imports, tried["id"])
        done = imports.step(tried["id"], "start")
        assert done["done"] == tried["tally"]
        said = told(imports, tried["id"])
        assert {kind: bare(found) for kind, found in said.items()} == {
            kind: bare(found) for kind, found in expected.items()
        }
        if turn:
            undone = imports.step(tried["id"], "undo")
            assert (undone["state"], undone["undo"]["conflicts"]) == ("undone", 0)
            assert world(rows) == before
