"""docs/events.md speaks of every callback that is handled, of no other, and each has a sample."""

import re
from pathlib import Path

from tests.wecom_callbacks.stories import kind, names
from wecom_callbacks.reasons import Ignored
from wecom_callbacks.registry import load_handlers, registered

PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
ROW = re.compile(r"^\| `([\w.]+)`(?: · `(\w+)`)?(?: · `(\w+)`)? \|(.*)\|$", re.MULTILINE)

load_handlers()


def rows():
    return [(tuple(filter(None, found.groups()[:3])), found[4].split("|")) for found in ROW.finditer(PAGE)]


def test_the_page_and_the_registry_name_the_same_events():
    documented = {(name[0], name[1] if len(name) > 1 else None) for name, _ in rows()}
    assert documented == set(registered())


def test_every_row_has_a_sample_and_every_sample_a_row():
    documented = {".".join(name) for name, _ in rows()}
    assert documented == {name.partition("@")[0] for name in names()}


def test_every_row_says_what_the_event_is_and_does():
    for name, cells in rows():
        assert len(cells) == 4, name
        says, changes, _, order = (cell.strip() for cell in cells)
        assert min(map(len, (says, changes, order))) > 0, name


def test_no_event_is_described_twice():
    described = [name for name, _ in rows()]
    assert len(described) == len(set(described))


def test_every_reason_to_ignore_is_on_the_page_and_has_a_sentence():
    assert [reason for reason in Ignored if f"`{reason}`" not in PAGE] == []
    assert all(" / " in reason.sentence for reason in Ignored)


def test_sample_names_name_handled_events():
    assert {kind(name)[0] for name in names()} == {event for event, _ in registered()}
