"""`scrm import`: the same imports as over the API, from the command line."""

import io
import json
import logging

import pytest
import structlog
from sqlalchemy import text

from scrm.cli.imports.command import import_group
from scrm.kernel.sheets.reading import read_rows


@pytest.fixture
def scrm(run_here):
    """Run a subcommand: (exit code, stdout, stderr)."""
    return lambda *arguments: run_here(import_group, *arguments)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("姓名,手机\n王芳,13912345678\n李雷,12\n", encoding="gb18030")
    return path


def printed(told):
    """The JSON of a command; the log of unconfigured tests stands before it."""
    return json.loads(told[told.index("{\n") :])


def test_a_file_is_tried_written_and_undone(scrm, file, session):
    code, told, _ = scrm("people", file, "--dry-run", "--json")
    assert (code, printed(told)["dry_run"]) == (1, {"new": 1, "error": 1})
    assert session.scalar(text("SELECT count(*) FROM people")) == 0
    code, told, _ = scrm("people", file, "--yes", "--source", "crm")
    assert code == 1  # one row is wrong
    assert "1 new, 0 changed, 0 unchanged, 1 error" in told
    assert session.execute(text("SELECT source FROM identities")).scalars().all() == ["crm"]
    last = json.loads(scrm("list", "--json")[1])[0]["id"]
    code, told, _ = scrm("undo", last, "--json")
    assert (code, printed(told)["conflicts"]) == (0, 0)
    assert session.scalar(text("SELECT count(*) FROM people")) == 0


def test_the_mapping_is_read_from_a_file_and_errors_are_written(scrm, file, tmp_path):
    mapping, errors = tmp_path / "mapping.json", tmp_path / "errors.xlsx"
    mapping.write_text(
        json.dumps({"source": "till", "columns": [{"column": "手机", "to": "identity:phone"}]})
    )
    assert scrm("people", file, "--mapping", mapping, "--yes", "--json", "--errors", errors)[0] == 1
    with errors.open("rb") as content:
        rows = list(read_rows(content))
    assert rows[0][:2] == ["姓名", "手机"]
    assert rows[1][:2] == ["李雷", "12"]
    assert "phone number" in rows[1][2]


def test_what_is_no_mapping_or_no_table_is_said_in_one_sentence(scrm, file, tmp_path):
    mapping = tmp_path / "mapping.json"
    mapping.write_text("{")
    code, _, said = scrm("people", file, "--mapping", mapping, "--yes")
    assert (code, said.count("\n")) == (1, 1)
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    assert scrm("people", empty, "--yes")[0] == 2


def test_without_a_yes_nothing_is_written(scrm, file, session):
    assert scrm("people", file, "--json")[0] == 1
    assert session.scalar(text("SELECT count(*) FROM people")) == 0


@pytest.fixture
def logged():
    """What the log says of an import, as `scrm` sets it up: through the handlers of the standard library."""
    before, told = structlog.get_config(), io.StringIO()
    structlog.configure(
        processors=[structlog.stdlib.render_to_log_kwargs],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    root, handler = logging.getLogger(), logging.StreamHandler(told)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield lambda: told.getvalue().count("import\n")
    root.removeHandler(handler)
    root.setLevel(level)
    structlog.configure(**before)


@pytest.mark.parametrize(("terminal", "lines"), [("1", 0), ("0", 3)])
def test_no_line_of_the_log_breaks_the_bar_on_a_terminal(scrm, file, logged, monkeypatch, terminal, lines):
    monkeypatch.setenv("TTY_COMPATIBLE", terminal)
    scrm("people", file, "--yes")
    assert logged() == lines  # read, checked, done
