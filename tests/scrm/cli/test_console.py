"""Tables of commands: as wide as a terminal, and wide enough to be read where there is none."""

import io
import logging

import pytest
from rich.console import Console

from scrm.cli.console import log_aside, print_table

COLUMNS = [f"a long name of column {number}" for number in range(6)]


def test_a_table_in_a_pipe_is_not_folded_to_the_width_of_a_screen(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    print_table("wide", COLUMNS, [["externalcontact/add_contact_way"] * 6])
    printed = capsys.readouterr().out
    assert printed.count("externalcontact/add_contact_way") == 6
    assert all(name in printed for name in COLUMNS)


def test_a_narrow_table_in_a_pipe_stays_narrow(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    print_table("narrow", ["id"], [[1]])
    assert max(map(len, capsys.readouterr().out.splitlines())) < 20


def test_the_width_asked_for_is_kept_in_a_pipe_too(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    print_table("wide", COLUMNS, [["externalcontact/add_contact_way"] * 6])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60


@pytest.mark.parametrize(
    ("terminal", "quiet", "kept"),
    [(True, False, "wrong after"), (False, False, "done wrong after"), (True, True, "done wrong after")],
)
def test_while_a_bar_is_on_a_terminal_the_log_says_what_goes_wrong_only(terminal, quiet, kept):
    told = io.StringIO()
    handler = logging.StreamHandler(told)
    log = logging.getLogger("tests.bar")
    log.setLevel(logging.INFO)
    logging.getLogger().addHandler(handler)
    try:
        with log_aside(Console(file=io.StringIO(), force_terminal=terminal, quiet=quiet)):
            log.info("done")
            log.warning("wrong")
        log.info("after")
    finally:
        logging.getLogger().removeHandler(handler)
        log.setLevel(logging.NOTSET)
    assert told.getvalue().split() == kept.split()
