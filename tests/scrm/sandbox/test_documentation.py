from __future__ import annotations

import re
from pathlib import Path

import pytest

import scrm.sandbox
from scrm.sandbox.api.registry import REGISTRY
from scrm.sandbox.app import create_sandbox
from scrm.sandbox.config import SandboxConfig
from scrm.sandbox.control_api.corp_views import API_KINDS, CALLBACK_KINDS
from scrm.sandbox.control_api.state_views import READERS
from scrm.sandbox.people.mix import ACTIONS

FOLDER = Path(scrm.sandbox.__file__).parent
TEXT = (FOLDER.parents[1] / "docs" / "sandbox.md").read_text()


def control_paths():
    app = create_sandbox(SandboxConfig())
    rules = [rule.rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/control/")]
    return sorted({re.sub(r"/<[^>]*>", "", rule.removeprefix("/control")) for rule in rules})


@pytest.mark.parametrize("path", control_paths())
def test_every_control_call_is_documented(path):
    assert re.search(rf"{re.escape(path)}[`?/ ]", TEXT)


@pytest.mark.parametrize("path", control_paths())
def test_every_control_call_has_a_client_method(path):
    assert any(f'"{path}' in file.read_text() for file in (FOLDER / "controls").glob("*.py"))


def test_every_api_kind_of_fault_traffic_and_state_is_documented():
    for path in REGISTRY:
        assert path.rpartition("/")[2].removesuffix("_contact_way").removeprefix("get_") in TEXT, path
    for word in (*API_KINDS, *CALLBACK_KINDS, *ACTIONS, *READERS):
        assert word in TEXT, word


def test_the_sandbox_shares_no_code_with_the_backend():
    imported = {
        match
        for file in FOLDER.rglob("*.py")
        for match in re.findall(
            r"^\s*(?:from|import) ((?:scrm|tags|config|wecom_callbacks)[\w.]*)",
            file.read_text(),
            re.MULTILINE,
        )
    }
    assert all(name.startswith("scrm.sandbox") for name in imported)


def test_files_stay_small():
    assert max(len(file.read_text().splitlines()) for file in FOLDER.rglob("*.py")) <= 400
