"""What is copied: each part is a table, its columns and an iterator of lines in PostgreSQL's COPY text format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scrm.cli.company_data.size import Size

Lines = Iterator[str]


@dataclass(frozen=True)
class Part:
    """Rows of one table.

    :param rows: about how many, for the progress bar
    :param lines: makes the lines, tab-separated, each with its newline, ``\\N`` for null
    """

    table: str
    columns: str
    rows: Callable[[Size], int]
    lines: Callable[[Size], Lines]
