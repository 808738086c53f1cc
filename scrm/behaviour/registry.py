"""What packages further up may put in: who asks for properties of events, so that they are not taken away under them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class PropertyUser:
    """Something whose condition names a property.

    :param kind: ``rule``, ``audience``, ``transfer_plan``, ``broadcast``
    """

    kind: str
    id: int
    name: str


Question = Callable[[int, frozenset[str]], list[PropertyUser]]
QUESTIONS: list[Question] = []


def property_users(question: Question) -> Question:
    """Ask this function too who names any of some properties (by key) of an event type (by id) and is not finished."""
    if question not in QUESTIONS:
        QUESTIONS.append(question)
    return question


def users_of(type_id: int, keys: frozenset[str]) -> list[PropertyUser]:
    """Everything unfinished that names one of the properties."""
    return [user for question in QUESTIONS for user in question(type_id, keys)]
