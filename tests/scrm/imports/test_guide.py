"""The example of docs/imports.md does what the page says."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

from sqlalchemy import select

from scrm.cli.imports.command import import_group
from scrm.imports.models import Import

PAGE = Path(__file__).parents[3] / "docs" / "imports.md"


def example(name):
    """The block under a comment of this name."""
    found = re.search(
        rf"<!-- example: {re.escape(name)} -->\n```\w+\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL
    )
    assert found
    return found.group(1)


def test_the_example_of_the_guide(imports, api):
    content = example("people.csv").encode("gb18030")
    id_ = imports.upload("people", io.BytesIO(content), "people.csv")["id"]
    suggested = imports.get(f"/{id_}/suggestion")["columns"]
    mapping = json.loads(example("mapping.json"))
    assert suggested == [{"column": one["column"], "to": one["to"]} for one in mapping["columns"]]
    imports.map(id_, mapping.pop("columns"), **mapping)
    assert imports.step(id_, "dry-run")["tally"] == {"new": 2, "error": 1}
    (wrong,) = imports.rows(id_, "error")
    assert all(
        f"{column}: {problem}" in PAGE.read_text("utf-8").replace("\n", " ")
        for column, problem in wrong["problems"].items()
    )
    assert imports.step(id_, "start")["done"] == {"new": 2, "error": 1}
    told = api.get(f"/api/v1/imports/{id_}/errors?format=csv").headers["Content-Type"]
    assert told == "text/csv; charset=utf-8"
    mended = api.get(f"/api/v1/imports/{id_}/errors?format=xlsx").data
    again = imports.upload("people", io.BytesIO(mended), "errors.xlsx")["id"]
    assert imports.map(again)["mapping"]["columns"] == suggested
    assert imports.step(id_, "undo")["undo"]["conflicts"] == 0


def test_a_mapping_is_kept_and_used_for_the_next_file(imports):
    content = example("people.csv").encode()
    first, second = (imports.upload("people", io.BytesIO(content), "people.csv")["id"] for _ in range(2))
    imports.map(first)
    kept = imports.post("/templates", {"name": "门店客户", "import_id": first}, status=(201,))
    answer = imports.client.put(f"/api/v1/imports/{second}/mapping", json={"template_id": kept["id"]})
    assert answer.json["mapping"] == kept["mapping"]
    assert [one["name"] for one in imports.get("/templates")["items"]] == ["门店客户"]
    assert imports.client.delete(f"/api/v1/imports/templates/{kept['id']}").status_code == 204


def test_every_path_of_the_guide_exists(app):
    paths = {re.sub(r"<[^>]*>", "1", str(rule)) for rule in app.url_map.iter_rules()}
    named = re.findall(
        r"^(?:GET|POST|PUT)\s+(/api/v1/\S+?)(?:\?\S*)?(?:\s|$)", PAGE.read_text("utf-8"), re.MULTILINE
    )
    assert len(named) >= 10
    assert set(named) <= paths


def test_who_may_import_is_asked(session, api_with, imports):
    content = example("people.csv").encode()
    for permissions, staff in [
        (("imports:write",), None),
        (("imports:write", "people:write"), [1]),
        (("people:write",), None),
    ]:
        client = api_with(*permissions, staff_ids=staff)
        data = {"target": "people", "file": (io.BytesIO(content), "a.csv")}
        assert (
            client.post("/api/v1/imports", data=data, content_type="multipart/form-data").status_code == 403
        )
    id_ = imports.upload("people", io.BytesIO(content), "a.csv")["id"]
    assert api_with("imports:read", staff_ids=[1]).get(f"/api/v1/imports/{id_}").status_code == 403


def test_the_commands_of_the_guide_name_the_imports_that_they_make(run_here, session, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people.csv").write_text(example("people.csv"), "utf-8")
    made: list[int] = []
    codes = []
    for line in re.findall(r"^\$ scrm import (.*)$", PAGE.read_text("utf-8"), re.MULTILINE):
        words = [str(made[int(word) - 1]) if word.isdecimal() else word for word in line.split()]
        code, _, said = run_here(import_group, *words)
        codes.append(code)
        made = list(session.scalars(select(Import.id).order_by(Import.id)))
        assert "can be undone" not in said
    assert codes == [1, 1, 0, 0]  # one row is wrong; nothing is left to be said of the undo
    assert session.get(Import, made[1]).state == "undone"
