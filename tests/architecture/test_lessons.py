"""Every defect in docs/lessons.md has a test that exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (\d+) \| .* \| `([^:`]+)::(\w+)` \|$", re.MULTILINE)


def rows():
    return ROW.findall((ROOT / "docs" / "lessons.md").read_text())


def test_all_35_lessons_are_listed():
    assert [int(number) for number, _, _ in rows()] == list(range(1, 36))


def test_every_named_test_exists():
    missing = [
        f"{number}: {path}::{name}"
        for number, path, name in rows()
        if not (ROOT / path).exists() or f"def {name}(" not in (ROOT / path).read_text()
    ]
    assert missing == []
