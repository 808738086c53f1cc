"""The house stays tidy: sizes, roles, layers, schedule and texts."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from config.schedule import SCHEDULE
from scrm.bootstrap import load_packages
from scrm.kernel.jobs import JOBS

ROOT = Path(__file__).parents[2]
TOP_LEVEL = {"app.py", "pyproject.toml", "Makefile", "README.md", "CHANGELOG.md"} | {
    "config", "scrm", "wecom_callbacks", "tags", "tests", "docs",
}  # fmt: skip
ROLES = {"__init__", "models", "events", "queries", "service", "schemas", "views", "jobs", "subscribers"} | {
    "registry",  # what other packages add to (tables of a person), a contract of its own
    "traits",  # of portraits: a package with roles of its own, checked as one
}
DOMAIN = (
    "media", "staff", "alerts", "customers", "groups", "conversations", "portraits", "acquisition", "acquisition_links",
    "group_entry", "losses", "transfers", "broadcasts", "sync",
    "people", "behaviour", "commerce", "value", "portraits/traits",
    "audiences", "imports", "webhooks",
)  # fmt: skip
FILE_LINES, TEST_LINES, FUNCTION_LINES = 400, 600, 60


def tracked(*patterns):
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def sources():
    return [path for path in tracked("*.py") if "migrations" not in path.parts]


TAKES_ANY_ERROR = {"scrm/kernel/apart.py", "scrm/cli/main.py"}  # set apart; the commands' error handler


def test_any_error_is_taken_only_to_clean_up_and_raise_it_again():
    wide = [
        f"{path.relative_to(ROOT)}:{handler.lineno}"
        for path in sources()
        if "tests" not in path.parts and str(path.relative_to(ROOT)) not in TAKES_ANY_ERROR
        for handler in ast.walk(ast.parse(path.read_text()))
        if isinstance(handler, ast.ExceptHandler) and takes_anything(handler)
        if not raises_it_again(handler)
    ]
    assert wide == []


def takes_anything(handler):
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or ast.unparse(kind) in {"Exception", "BaseException"} for kind in kinds)


def raises_it_again(handler):
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_the_top_level_holds_only_the_design_card():
    names = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


def test_files_and_functions_stay_small():
    too_long = []
    for path in sources():
        source = path.read_text()
        limit = TEST_LINES if "tests" in path.parts else FILE_LINES
        if source.count("\n") > limit:
            too_long.append(f"{path.relative_to(ROOT)}: {source.count(chr(10))} lines")
        if "tests" not in path.parts:
            too_long += [
                f"{path.relative_to(ROOT)}: {name} {lines} lines" for name, lines in long_functions(source)
            ]
    assert too_long == []


def long_functions(source):
    functions = [
        n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [
        (n.name, n.end_lineno - n.lineno + 1)
        for n in functions
        if n.end_lineno - n.lineno + 1 > FUNCTION_LINES
    ]


def test_domain_packages_have_only_the_known_file_roles():
    strangers = [
        str(path.relative_to(ROOT))
        for name in DOMAIN
        for path in (ROOT / "scrm" / name).iterdir()
        if path.stem not in ROLES and path.name != "__pycache__"
    ]
    assert strangers == []


def test_only_views_web_and_the_kernel_know_flask():
    allowed = re.compile(r"scrm/(kernel|web|cli|sandbox)/|scrm/bootstrap|views|^app\.py|^tests/")
    strangers = [
        name
        for path in sources()
        if not allowed.search(name := str(path.relative_to(ROOT)))
        and re.search(r"^\s*(from|import) flask\b", path.read_text(), re.MULTILINE)
    ]
    assert strangers == []


def test_services_and_queries_never_commit():
    committing = [
        str(path.relative_to(ROOT))
        for path in sources()
        if path.stem in {"service", "queries"}
        and re.search(r"\.commit\(\)|transaction\(\)", path.read_text())
    ]
    assert committing == []


def test_every_scheduled_job_exists():
    load_packages()
    assert [entry.job for entry in SCHEDULE if entry.job not in JOBS] == []


def test_no_file_names_a_registry_or_leaves_work_for_later():
    hosts = "|".join(["pypi" + r"\.org", "pythonhosted" + r"\.org", "npmjs" + r"\.", "deb" + r"ian\.org"])
    later = "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"])
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in tracked()
        if path.is_file() and path.suffix not in {".png", ".mo"}
        for match in re.finditer(rf"{hosts}|\b({later})\b", path.read_text())
    ]
    assert found == []


def test_every_dependency_is_explained():
    project = (ROOT / "pyproject.toml").read_text()
    block = project.partition("dependencies = [")[2].partition("[project.scripts]")[0]
    names = re.findall(r'^\s*"([a-z0-9-]+)', block, re.MULTILINE)
    explained = (ROOT / "docs" / "dependencies.md").read_text()
    assert [name for name in names if f"`{name}`" not in explained] == []


@pytest.mark.parametrize(
    "module", ["scrm.kernel.db", "scrm.bootstrap", "tags.models", "wecom_callbacks.models"]
)
def test_importing_has_no_side_effects(module):
    code = f"import socket; socket.socket.connect = None; import {module}"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
