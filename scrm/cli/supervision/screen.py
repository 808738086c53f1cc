"""What `scrm up` shows: steps while starting, addresses, and one line for everything that happens later."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text


class PatientConsole(Console):
    """A console that does not end the program because its terminal was closed: somebody must stop the parts in order."""

    def on_broken_pipe(self) -> None:
        """Nobody looks any more."""


class Screen:
    """A terminal, or a plain file when the output goes elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def say(self, sentence: str) -> None:
        """One line with the time."""
        with suppress(OSError):  # the terminal was closed
            self.console.print(
                f"[dim]{time.strftime('%H:%M:%S')}[/dim] {escape(sentence)}", highlight=False, soft_wrap=True
            )

    @contextmanager
    def steps(self) -> Iterator[Callable[[str], None]]:
        """While the block runs, a moving sign; the given function notes that a part is ready."""
        started = time.monotonic()
        with self.console.status("starting …") as status:

            def done(name: str) -> None:
                seconds = time.monotonic() - started
                self.console.print(
                    f"[green]✓[/green] {escape(name)} [dim]{seconds:.1f} s[/dim]", highlight=False
                )
                status.update(f"starting … {escape(name)} is ready")

            yield done

    @contextmanager
    def bars(self) -> Iterator[Callable[[str, int, int], None]]:
        """While the block runs, one bar per activity; the given function moves one (name, done, wanted)."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=self.console) as shown:
            known: dict[str, TaskID] = {}

            def progress(name: str, done: int, wanted: int) -> None:
                if name not in known:
                    known[name] = shown.add_task(escape(name), total=wanted)
                shown.update(known[name], completed=done, total=wanted)

            yield progress

    def addresses(self, rows: dict[str, str], seconds: float) -> None:
        """Where everything is; empty rows are left out."""
        table = Table(
            show_header=False,
            title=f"scrm is up after {seconds:.1f} s; Ctrl-C stops it",
            title_justify="left",
        )
        for name, address in rows.items():
            if address:
                table.add_row(name, Text(address, overflow="fold"))
        self.console.print(table)

    def link(self, sentence: str, address: str) -> None:
        """An address on a line of its own, never broken, so that it can be clicked and copied."""
        self.console.print(escape(sentence))
        self.console.print(f"  {escape(address)}", soft_wrap=True, highlight=False, style="bold")
