"""Check of the copy of events and orders in columns on this machine."""

from __future__ import annotations

from scrm.cli.doctor.finding import Finding
from tags.columns.models import ColumnTrouble, Trouble
from tags.columns.service.shelf import folder
from tags.columns.service.troubles import NO_MONTH, troubled

OFTEN = 2  # once may happen: a file that was spoiled is written again, and so is what found the disk full
WAYS_OUT = {
    Trouble.SPOILED: "look at the disk under {folder} (dmesg, SMART): files written there do not stay as they are",
    Trouble.DOUBTED: "web processes cannot read files that workers can: look at rights and open files (ulimit -n)",
    Trouble.UNWRITTEN: "make room under {folder}, or see the worker's log for the part that cannot be written",
}


def columns() -> Finding:
    """No part of the copy was spoiled, unreadable or impossible to write again and again within a day."""
    found = [row for row in troubled() if row.times >= OFTEN]
    if not found:
        return Finding("copy in columns", True, "nothing wrong with its files within a day")
    detail = ", ".join(
        f"{_part(row)} {row.kind} {row.times} times ({row.error or 'readable'})" for row in found
    )
    return Finding("copy in columns", False, detail, WAYS_OUT[found[0].kind].format(folder=folder()))


def _part(row: ColumnTrouble) -> str:
    return row.source if row.month == NO_MONTH else f"{row.source} {row.month:%Y-%m}"
