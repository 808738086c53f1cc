"""`scrm demo`: right when everything is right, wrong as soon as anything differs."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from scrm.cli.demo.outcome import Check, Outcome, exactly_once, the_same
from tests.scrm.cli.conftest import Run


@pytest.mark.fault
@pytest.mark.timeout(240)
def test_the_demo_plays_to_its_end_and_everything_is_right(run_installed: Run) -> None:
    played = run_installed("demo", "--json", "--people", "20")
    assert played.returncode == 0, played.stdout + played.stderr[-3000:]
    outcome = json.loads(played.stdout)
    assert outcome["well"]
    assert [check for check in outcome["checks"] if not check["well"]] == []
    assert outcome["figures"]["people who scanned a code"] == 20
    assert outcome["figures"]["welcomes sent"] == 20


def test_a_double_a_missing_and_a_foreign_one_are_found() -> None:
    assert exactly_once("x", ["a", "b"], Counter("ab")).well
    assert exactly_once("x", ["a", "b"], Counter("aab")).wrong == ["a: 2 times"]
    assert exactly_once("x", ["a", "b"], Counter("a")).wrong == ["b: 0 times"]
    assert exactly_once("x", ["a"], Counter("ac")).wrong == ["c: 1 times"]
    # as many as expected, and still wrong
    assert not exactly_once("x", ["a", "b"], Counter("ac")).well


def test_sets_that_differ_are_found() -> None:
    assert the_same("x", [1, 2], [2, 1]).well
    assert the_same("x", [1, 2], [1, 3]).wrong == ["only WeCom: 2", "only we: 3"]


def test_one_wrong_check_makes_the_outcome_wrong() -> None:
    right, wrong = Check("a", 1, 1), Check("b", 1, 2)
    assert Outcome([right], {}, 1.0).well
    assert not Outcome([right, wrong], {}, 1.0).well
    assert Outcome([right, wrong], {}, 1.0).as_json()["checks"][1]["well"] is False
