"""Fixtures for command line tests: commands run as their own processes, with a clean environment."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import nursery
from tests.stack import SCRM

Run = Callable[..., subprocess.CompletedProcess[str]]


def clean_environment() -> dict[str, str]:
    """This process's environment without our own settings."""
    return {key: value for key, value in os.environ.items() if not key.startswith("SCRM_")}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run ``scrm`` with arguments to its end in a process; keyword arguments are environment variables."""

    def scrm(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {**clean_environment(), "SCRM_VAR_DIR": str(tmp_path / "var"), **environment}
        return nursery.run([*arguments], given, cwd=tmp_path)

    return scrm


@pytest.fixture
def run_installed(tmp_path: Path) -> Run:
    """The same with the installed program, from nothing: a second later."""

    def scrm(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {"SCRM_VAR_DIR": str(tmp_path / "var"), **environment}
        return subprocess.run(
            [SCRM, *arguments],
            env={**clean_environment(), **given},
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
            cwd=tmp_path,
        )

    return scrm
