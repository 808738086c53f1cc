"""What the documents name exists: files, links, commands, make targets, benchmarks."""

import re
from pathlib import Path

import pytest

from scrm.cli.main import COMMANDS
from tests.bench.__main__ import NAMES

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_source_files_named_exist(document):
    named = re.findall(
        r"`((?:scrm|tags|config|wecom_callbacks|tests|docs)/[\w/.-]+\.\w+)`", document.read_text()
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_named_exist(document):
    text = document.read_text()
    commands = set(re.findall(r"(?:^|`|bin/)scrm ([a-z]+)", text, re.MULTILINE))
    assert commands - COMMANDS.keys() == set()
    targets = set(re.findall(r"`make ([a-z-]+)", text))
    assert targets - set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)) == set()


def test_the_performance_page_speaks_of_every_benchmark():
    page = (ROOT / "docs" / "performance.md").read_text()
    assert [name for name in NAMES if f"`{name}`" not in page] == []


def test_every_handler_kind_and_condition_has_its_row_in_a_where_to_add_table():
    readme = (ROOT / "README.md").read_text()
    for folder in ("wecom_callbacks/handlers/", "tags/rules/conditions/", "scrm/wecom/kinds/"):
        assert folder in readme
