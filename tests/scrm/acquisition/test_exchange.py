"""Codes go out and come in as CSV and JSON: nothing is lost, nothing is run as a formula, every wrong row is told."""

import csv
import io
import json

import pytest
from sqlalchemy import func, select, update

from scrm.acquisition.models import ChannelCode, ChannelCodeGroup, WelcomeMessage
from scrm.acquisition.service.exchange import COLUMNS
from scrm.kernel.db import transaction
from scrm.staff.service import ensure_staff
from tags.models import Tag, TagGroup

URL = "/api/v1/channel-codes"


@pytest.fixture
def staff(session):
    with transaction():
        return list(ensure_staff(["Amy", "bob", "cat"]).values())


@pytest.fixture
def tag(session):
    group = TagGroup(wecom_id="etg", name="来源")
    session.add_all([group, ChannelCodeGroup(name="展会")])
    session.flush()
    made = Tag(wecom_id="ett", group_id=group.id, name="深圳/展会")
    session.add(made)
    session.commit()
    return made


@pytest.fixture
def codes(api, staff, tag, message):
    """Two codes: one with everything, one with hardly anything and a name that looks like a formula."""
    a, b, c = staff
    group = api.get("/api/v1/channel-code-groups").json["items"][0]["id"]
    night = message(name="夜间").id
    everything = {
        "name": "展会", "group_id": group, "staff_ids": [a, b], "backup_staff_ids": [c], "daily_cap": 30,
        "caps": [{"staff_id": b, "cap": 5}], "tag_ids": [tag.id], "welcome_id": message(name="你好").id,
        "welcome_slots": [{"weekdays": [1], "begin": "22:00", "end": "24:00", "welcome_id": night}],
        "slots": [{"weekdays": [6, 7], "begin": "22:00", "end": "06:00", "staff_ids": [b], "department_ids": []}],
        "dates": [{"first": "2027-01-01", "last": "2027-01-03", "begin": "00:00", "end": "24:00", "staff_ids": [c], "department_ids": []}],
        "accept_slots": [{"weekdays": [1], "begin": "09:00", "end": "18:00"}],
        "remark_rule": "{name}-{code}", "blocked_names": ["a,b", "引\"号", "*x*"], "remark": "备注,\n\"二\"", "skip_verify": True,
        "valid_until": "2031-01-01T00:00:00+00:00", "when_over": "backup",
    }  # fmt: skip
    for values in (everything, {"name": '=HYPERLINK("http://evil")', "staff_ids": [a], "skip_verify": False}):
        answer = api.post(URL, json=values)
        assert answer.status_code == 201, answer.json


OWN = {
    "id",
    "state",
    "config_id",
    "created_at",
    "updated_at",
    "effect_id",
    "status",
    "check_at",
    "adds",
    "qr_code",
}


def plain(code):
    return {name: value for name, value in code.items() if name not in OWN}


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_what_goes_out_comes_in_the_same(api, codes, kind):
    before = api.get(URL).json["items"]
    file = api.get(f"{URL}/export?format={kind}")
    assert f'channel-codes.{kind}"' in file.headers["Content-Disposition"]
    body = {"format": kind, "content": file.get_data(as_text=True)}
    dry = api.post(f"{URL}/import", json={**body, "dry_run": True}).json
    assert (dry["errors"], dry["rows"], dry["made"]) == ([], 2, [])
    assert len(api.get(URL).json["items"]) == 2
    made = api.post(f"{URL}/import", json=body).json
    assert (made["errors"], len(made["made"])) == ([], 2)
    again = [api.get(f"{URL}/{id_}").json for id_ in reversed(made["made"])]
    assert [plain(code) for code in again] == [plain(code) for code in before]


def test_welcomes_are_named_so_that_the_file_fits_where_they_have_other_ids(api, codes, message, session):
    content = api.get(f"{URL}/export?format=json").get_data(as_text=True)
    first = json.loads(content)[0]
    assert (first["welcome"], first["welcome_slots"][0]["welcome"]) == ("你好", "夜间")
    assert "welcome_id" not in content
    session.execute(update(WelcomeMessage).values(name=WelcomeMessage.name + " (alt)"))
    elsewhere = {name: message(name=name).id for name in ("夜间", "你好")}
    [id_, _] = api.post(f"{URL}/import", json={"format": "json", "content": content}).json["made"]
    code = api.get(f"{URL}/{id_}").json
    assert code["welcome_id"] == elsewhere["你好"]
    assert [slot["welcome_id"] for slot in code["welcome_slots"]] == [elsewhere["夜间"]]


def test_a_welcome_that_is_not_there_or_not_clear_is_told(api, staff, message):
    for _ in range(2):
        message(name="twice")
    slot = {"weekdays": [1], "begin": "09:00", "end": "12:00", "welcome": "none"}
    rows = [
        {"name": "n", "staff": ["amy"], "welcome": "none", "welcome_slots": [slot]},
        {"name": "n", "staff": ["amy"], "welcome": "twice"},
        {"name": "n", "staff": ["amy"], "welcome_id": 1},
    ]
    told = api.post(f"{URL}/import", json={"format": "json", "content": json.dumps(rows)}).json
    none = "there is no welcome message of this name"
    assert [one["errors"] for one in told["errors"]] == [
        {"welcome": none, "welcome_slots.0.welcome": none},
        {"welcome": "several welcome messages are called so; give them names of their own"},
        {"welcome_id": "is no column; names go into welcome"},
    ]


def test_no_cell_begins_like_a_formula(api, codes):
    text = api.get(f"{URL}/export").get_data(as_text=True)
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
    assert rows[0] == list(COLUMNS)
    assert not [cell for row in rows[1:] for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert '\'=HYPERLINK("http://evil")' in rows[2]


@pytest.mark.parametrize("name", ["'quoted", "''x", "-1", "+86", "@me", "=1+1", "'=1"])
def test_guarded_cells_come_back_as_they_were(api, staff, name):
    api.post(URL, json={"name": name, "staff_ids": staff[:1]})
    content = api.get(f"{URL}/export").get_data(as_text=True)
    [id_] = api.post(f"{URL}/import", json={"format": "csv", "content": content}).json["made"]
    assert api.get(f"{URL}/{id_}").json["name"] == name


def table(*rows, columns="name,staff,tags,daily_cap,slots,group,skip_verify"):
    out = io.StringIO()
    csv.writer(out).writerows([columns.split(","), *rows])
    return out.getvalue()


def test_every_wrong_row_is_told_and_none_is_made(api, staff, tag, session):
    clash = json.dumps([{"weekdays": [1], "begin": "09:00", "end": "12:00", "staff": ["bob"]}] * 2)
    content = table(
        ["good", "amy\nBOB", "来源/深圳/展会", "3", "", "展会", "true"],
        ["", "amy", "", "", "", "", ""],
        ["n", "nobody", "来源/没有", "x", "", "无", ""],
        ["n", "amy\namy", "", "0", "", "", "maybe"],
        ["n", "amy\nbob", "", "", clash, "", ""],
        ["n", "amy", "", "", "not json", "", ""],
        ["n", "", "", "", "", "", "", "one cell too many"],
    )
    answer = api.post(f"{URL}/import", json={"format": "csv", "content": content})
    assert answer.status_code == 200
    errors = {one["row"]: one["errors"] for one in answer.json["errors"]}
    assert {row: sorted(problems) for row, problems in errors.items()} == {
        2: ["name"],
        3: ["group", "staff.0", "tags.0"],
        4: ["daily_cap", "skip_verify"],
        5: ["slots.0", "slots.1"],
        6: ["slots"],
        7: ["more cells than columns"],
    }
    assert answer.json["made"] == []
    assert session.scalar(select(func.count()).select_from(ChannelCode)) == 0


def test_names_that_are_named_twice_are_told_by_column(api, staff):
    answer = api.post(
        f"{URL}/import", json={"format": "json", "content": '[{"name": "n", "staff": ["amy", "AMY"]}]'}
    )
    assert answer.json["errors"] == [{"row": 1, "errors": {"staff.1": f"{staff[0]} is named twice"}}]


@pytest.mark.parametrize(
    ("kind", "content", "problem"),
    [
        ("json", "{", "no JSON"), ("json", "{}", "list of codes"), ("json", "[1]", "list of codes"),
        ("csv", "colour\nred", "unknown columns"), ("csv", "staff\namy", "first line"), ("csv", "\n", "first line"),
        ("csv", "name\n\"open", "no CSV"), ("json", json.dumps([{"name": "n"}] * 1001), "at most 1000"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_refused(api, staff, kind, content, problem):
    answer = api.post(f"{URL}/import", json={"format": kind, "content": content})
    assert answer.status_code == 422
    assert problem in answer.json["fields"]["content"]


@pytest.mark.parametrize(
    "row",
    [
        {"name": 1}, {"name": "n", "staff": "amy"}, {"name": "n", "staff": [1, None, {}]}, {"name": "n", "slots": 3},
        {"name": "n", "caps": [{}]}, {"name": "n", "slots": [{"staff": 1}]}, {"name": "n", "tags": {}},
        {"name": "n", "staff": ["amy"], "columns": "x"}, {"name": "n", "staff": ["amy"], "state": "x"},
        {"name": "n", "caps": "x", "staff": ["amy"]}, {"name": "n", "staff": ["amy"], "group": ["x"]},
    ],
)  # fmt: skip
def test_strange_rows_are_problems_and_never_crashes(api, staff, row):
    answer = api.post(f"{URL}/import", json={"format": "json", "content": json.dumps([row])})
    assert answer.status_code == 200, answer.json
    assert answer.json["errors"], answer.json


def test_importing_twice_with_one_key_makes_codes_once(api, staff, session):
    body = {"format": "json", "content": '[{"name": "n", "staff": ["amy"]}]'}
    for _ in range(2):
        api.post(f"{URL}/import", json=body, headers={"Idempotency-Key": "k"})
    assert session.scalar(select(func.count()).select_from(ChannelCode)) == 1


def test_a_thousand_codes_come_in_with_few_statements(api, staff, count_statements):
    content = json.dumps([{"name": f"n{i}", "staff": ["amy", "bob"]} for i in range(1000)])
    with count_statements() as made:
        answer = api.post(f"{URL}/import", json={"format": "json", "content": content})
    assert len(answer.json["made"]) == 1000
    assert made.count < 60
