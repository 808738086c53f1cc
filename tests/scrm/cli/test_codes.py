"""`scrm codes`: the same figures and files as the API, from the command line."""

import json

import pytest

from scrm.acquisition.models import ChannelCode
from scrm.cli.codes import codes_group
from scrm.kernel.db import transaction
from scrm.staff.service import ensure_staff


@pytest.fixture
def scrm(run_here):
    """Run a subcommand: (exit code, stdout)."""
    return lambda *arguments: run_here(codes_group, *arguments)[:2]


@pytest.fixture
def code(session):
    with transaction():
        ensure_staff(["amy"])
        made = ChannelCode(name="展会", state="s", staff_ids=[], tag_ids=[], contact_type=2)
        session.add(made)
    return made


def test_codes_are_listed(scrm, code):
    exit_code, told = scrm("list", "--json")
    assert (exit_code, [row["name"] for row in json.loads(told)]) == (0, ["展会"])
    assert json.loads(scrm("list", "--status", "missing", "--json")[1]) == []
    assert "展会" in scrm("list")[1]
    assert scrm("list", "--status", "lost")[0] == 2


def test_figures_of_one_code_and_of_all(scrm, code):
    days = ("--from", "2026-11-01", "--to", "2026-11-02", "--json")
    told = json.loads(scrm("stats", code.id, *days)[1])
    assert (told["from"], [row["day"] for row in told["items"]]) == (
        "2026-11-01",
        ["2026-11-01", "2026-11-02"],
    )
    assert [row["name"] for row in json.loads(scrm("stats", *days)[1])["items"]] == ["展会"]
    assert "2026-11-01 to 2026-11-02" in scrm("stats", code.id, *days[:-1])[1]
    assert scrm("stats", 999_999)[0] == 1


@pytest.mark.parametrize("name", ["codes.csv", "codes.json"])
def test_a_file_goes_out_and_in(scrm, code, tmp_path, name, session):
    file = tmp_path / name
    file.write_text('[{"name": "n", "staff": ["amy"]}]' if name.endswith("json") else "name,staff\nn,amy\n")
    assert scrm("import", file, "--dry-run") == (0, "1 rows are fine\n")
    assert scrm("import", file) == (0, "1 codes are made\n")
    out = tmp_path / f"out-{name}"
    assert scrm("export", out, *(["--json"] if name.endswith("json") else []))[0] == 0
    assert "展会" in out.read_text(encoding="utf-8")
    file.write_text('[{"name": "n", "staff": ["zoe"]}]' if name.endswith("json") else "name,staff\nn,zoe\n")
    exit_code, told = scrm("import", file, "--json")
    assert (exit_code, json.loads(told)["errors"][0]["row"]) == (1, 1)
    assert "staff.0" in scrm("import", file)[1]
