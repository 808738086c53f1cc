"""What a key may not see of people it does not learn from imports: a dry run says what stands in a field."""

from __future__ import annotations

import pytest

from scrm.imports.jobs import work_until_rest
from scrm.people.jobs import clean_values
from tests.scrm.imports.conftest import Imports, csv_file

LOADER = ("people:write", "people:read", "imports:write", "imports:read")
COLUMNS = {"会员号": "identity:member_no", "秘密": "field:secret"}


@pytest.fixture
def secret(api):
    """M1 has the secret 甲 in a field that is shown with people:merge."""
    field = {
        "key": "secret",
        "type": "text",
        "name_zh": "秘密",
        "name_en": "secret",
        "seen_with": ["people:merge"],
    }
    assert api.post("/api/v1/fields", json=field).status_code == 201
    row = {"source_id": "1", "identities": {"member_no": "M1"}, "fields": {"secret": "甲"}}
    assert api.post("/api/v1/people:batch", json={"source": "crm", "people": [row]}).json["created"] == 1


def given():
    return csv_file(["会员号", "秘密"], [["M1", "乙"]])


def test_a_field_that_a_key_may_not_see_is_none_for_its_imports(secret, api_with):
    weak = Imports(api_with(*LOADER))
    (people,) = [one for one in weak.get("/targets")["items"] if one["name"] == "people"]
    assert "field:secret" not in [one["path"] for one in people["fields"]]
    made = weak.upload("people", given())
    work_until_rest(made["id"])
    suggested = weak.get(f"/{made['id']}/suggestion")["columns"]
    assert suggested == [{"column": "会员号", "to": "identity:member_no"}]
    refused = weak.map(made["id"], COLUMNS, status=422)
    assert refused["fields"].keys() == {"field:secret"}
    constant = weak.map(
        made["id"], {"会员号": "identity:member_no"}, status=422, constants={"field:secret": "丙"}
    )
    assert constant["fields"] == refused["fields"]


def test_an_import_that_writes_such_a_field_is_closed_to_keys_that_may_not_see_it(secret, api_with):
    weak, strong = Imports(api_with(*LOADER)), Imports(api_with(*LOADER, "people:merge"))
    made = strong.tried("people", ["会员号", "秘密"], [["M1", "乙"]], COLUMNS)
    assert strong.rows(made["id"], "changed")[0]["changes"][0]["before"] == "甲"
    for path in ("", "/rows?status=changed", "/errors?format=csv", "/suggestion"):
        weak.get(f"/{made['id']}{path}", status=403)
    for step in ("dry-run", "start", "cancel", "undo", "forget"):
        weak.post(f"/{made['id']}/{step}", {"dry_run": True} if step == "undo" else {}, status=(403,))
    weak.post("/templates", {"import_id": made["id"], "name": "mine"}, status=(403,))
    weak.map(made["id"], {"会员号": "identity:member_no"}, status=403)


def test_a_kept_mapping_is_listed_without_such_fields(secret, api_with):
    weak, strong = Imports(api_with(*LOADER)), Imports(api_with(*LOADER, "people:merge"))
    made = strong.upload("people", given())
    work_until_rest(made["id"])
    strong.map(made["id"], {"会员号": "identity:member_no"}, constants={"field:secret": "丙"})
    strong.post("/templates", {"import_id": made["id"], "name": "constant"}, status=(201,))
    strong.map(made["id"], COLUMNS)
    strong.post("/templates", {"import_id": made["id"], "name": "column"}, status=(201,))
    for kept in weak.get("/templates")["items"]:
        assert [one["to"] for one in kept["mapping"]["columns"]] == ["identity:member_no"]
        assert not kept["mapping"].get("constants")
    column, constant = (kept["mapping"] for kept in strong.get("/templates")["items"])
    assert [one["to"] for one in column["columns"]] == list(COLUMNS.values())
    assert constant["constants"] == {"field:secret": "丙"}


def test_cleaning_shows_no_value_of_a_field_that_the_key_may_not_see(secret, api, api_with):
    assert api.patch(
        "/api/v1/fields/secret", json={"limits": {"pattern": "[A-Z]+"}, "seen_with": ["orders:read"]}
    )
    run = api.post("/api/v1/people/cleaning-runs").json["id"]
    clean_values()
    path = f"/api/v1/people/cleaning-runs/{run}/items"
    (seen,) = api.get(path).json["items"]
    assert (seen["before"], seen["after"]) == ("甲", None)
    (veiled,) = api_with("people:merge").get(path).json["items"]
    assert (veiled["before"], veiled["after"], veiled["field"]) == ("***", None, "secret")
