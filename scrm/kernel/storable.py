"""What PostgreSQL and our own arithmetic can hold: numbers of 64 bits, text that is UTF-8, moments of this age.

Every request passes here, so that a value which no column can hold is refused by name and never reaches a query.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

BIGGEST = 2**63 - 1  # bigint, the widest whole number of our tables
DEEPEST = 50  # levels of a JSON body; conditions, the deepest of ours, have 10 of two levels each
YEARS = range(1900, 3000)  # time zones can be applied without leaving what datetime knows


def problem_of(value: Any) -> str | None:
    """Why this one value cannot be stored; None when it can, and for lists and mappings."""
    if isinstance(value, str):
        return text_problem(value)
    if isinstance(value, int) and not -BIGGEST <= value <= BIGGEST:
        return f"must be a whole number of at most {BIGGEST}"
    if isinstance(value, date) and value.year not in YEARS:  # moments are dates too
        return f"must lie between the years {YEARS.start} and {YEARS.stop - 1}"
    return None


def text_problem(text: str) -> str | None:
    """Why PostgreSQL does not take this text; None when it does."""
    if "\0" in text:
        return "must not hold a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "must be valid Unicode: half a surrogate pair is no character"
    return None


def problems_within(value: Any) -> Iterator[tuple[str, str]]:
    """(path, problem) of everything inside a value that cannot be stored; the path of the value itself is empty."""
    waiting: list[tuple[str, int, Any]] = [("", 0, value)]
    while waiting:
        path, depth, value = waiting.pop()
        if isinstance(value, Mapping | list | tuple):
            if depth == DEEPEST:
                yield path, f"is nested deeper than {DEEPEST} levels"
                continue
            pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
            for key, inner in pairs:
                if isinstance(key, str) and (problem := text_problem(key)):
                    yield path, f"a name in it {problem}"
                else:
                    waiting.append((f"{path}.{key}" if path else str(key), depth + 1, inner))
        elif problem := problem_of(value):
            yield path, problem
