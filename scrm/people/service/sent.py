"""Persons as other systems name them in their rows: ``{"phone": "13900001111", "member_no": ["M1", "M2"]}``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from scrm.kernel.batch import RowProblem
from scrm.kernel.errors import InvalidInput
from scrm.people.service.identity import Identity
from scrm.people.service.resolving import resolve

MOST_IDENTITIES = 20
Identities = tuple[Identity, ...]


def sent_identities(given: Any) -> Identities:
    """A checker of ``scrm.kernel.batch``: identities of an object of kinds, each with one value or a list.

    :raises ValueError: no object, none or more than MOST_IDENTITIES in it
    :raises RowProblem: unknown kinds, values that cannot be of their kind
    """
    if type(given) is not dict or not given:
        raise ValueError('must name somebody by an object of identities such as {"phone": "13900001111"}')
    named = [(kind, value) for kind, values in given.items() for value in _listed(values)]
    if not 1 <= len(named) <= MOST_IDENTITIES:
        raise ValueError(f"must hold 1 to {MOST_IDENTITIES} identities")
    problems = {}
    found = []
    for kind, value in named:
        try:
            found.append(_identity(kind, value))
        except InvalidInput as problem:
            path, text = next(iter(problem.fields.items()))
            problems[kind] = f"{text}" if path != "kind" else f"is no kind of identity: {text}"
    if problems:
        raise RowProblem(problems)
    return tuple(found)


def _listed(values: Any) -> list[str]:
    listed = values if type(values) is list else [values]
    if any(type(value) is not str for value in listed):
        raise ValueError("must hold texts, or lists of texts")
    return listed


@lru_cache(maxsize=20_000)
def _identity(kind: str, value: str) -> Identity:
    return Identity(kind, value)


def persons_of(records: Sequence[Identities], source: str) -> list[int | None]:
    """:func:`resolve`, asked once for each different record; None where nothing identifies anybody."""
    distinct = list(dict.fromkeys(records))
    persons = dict(zip(distinct, resolve(distinct, source), strict=True))
    return [persons[record] for record in records]
