"""Tables of commands: as wide as a terminal, and wide enough to be read where there is none."""

from scrm.cli.console import print_table

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
