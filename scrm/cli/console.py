"""What commands print: JSON for programs, tables for people, both on stdout."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
import orjson

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = (
    250  # characters, where no terminal says how wide it is: nothing that is searched for gets folded
)


def print_json(value: Any) -> None:
    """Print ``value`` as indented JSON; times become ISO strings."""
    click.echo(
        orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str).decode()
    )


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; cells are shown as their text, markup is not interpreted."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", highlight=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(
            *(cell if isinstance(cell, Text) else Text("" if cell is None else str(cell)) for cell in row)
        )
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_WIDTH
    console.print(table)


@contextmanager
def log_aside(console: Console) -> Iterator[None]:
    """Let the log say only what goes wrong while a bar moves on a terminal: lines between would break the bar.

    Where the output is no terminal, or nothing is shown, no bar moves and the log is whole.
    """
    if console.quiet or not console.is_terminal:
        yield
        return
    before = [(handler, handler.level) for handler in logging.getLogger().handlers]
    for handler, level in before:
        handler.setLevel(max(level, logging.WARNING))
    try:
        yield
    finally:
        for handler, level in before:
            handler.setLevel(level)
