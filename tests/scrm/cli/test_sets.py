"""`scrm sets`: what is cached is listed, asked for before anybody needs it, asked anew, and dropped."""

import json

import pytest

from scrm.cli.sets import sets
from tags.sets.service.asking import TAGS
from tags.sets.service.memory import memory
from tags.sets.service.watching import EVERYBODY
from tests.tags.conftest import make_world
from tests.tags.sets.holding import hold


@pytest.fixture
def tag(committed, redis):
    """A tag that one customer has."""
    world = make_world()
    tag = world.tag()
    hold(world.followed(world.staff()), tag)
    committed.commit()
    memory().clear()
    return tag


@pytest.fixture
def scrm(tag, run_here):
    """Run the command: (exit code, what it printed as JSON)."""

    def call(*arguments):
        code, told, _ = run_here(sets, *arguments, "--json")
        return code, json.loads(told) if told else None

    return call


def test_sets_are_asked_for_beforehand_anew_and_dropped(scrm, tag):
    assert scrm() == (0, {"sets": [], "bytes": 0})
    _, told = scrm("--warm", "--limit", 9999)
    found = {each["leaf"]: each["customers"] for each in told["sets"]}
    assert (found[TAGS.key(tag.id)], found[EVERYBODY]) == (1, 1)
    assert told["warmed"] > 0
    assert scrm("--warm", "--limit", 1)[1]["warmed"] == 0, "all are there"
    every = len(scrm("--limit", 9999)[1]["sets"])
    assert scrm("--rebuild")[1]["rebuilt"] == every
    assert scrm("--forget")[1] == {"forgotten": every, "sets": [], "bytes": 0}


def test_only_one_thing_is_done_at_a_time(scrm):
    assert scrm("--warm", "--forget")[0] == 2
