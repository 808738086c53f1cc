"""What packages further up may put in: who uses a trait, so that it is not taken away under them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class TraitUser:
    """Something that names a trait.

    :param kind: ``rule``, ``audience``, ``transfer_plan``, ``broadcast``
    """

    kind: str
    id: int
    name: str


Question = Callable[[int], list[TraitUser]]
QUESTIONS: list[Question] = []


def trait_users(question: Question) -> Question:
    """Ask this function too who uses a trait (its id) and is not finished."""
    if question not in QUESTIONS:
        QUESTIONS.append(question)
    return question


def users_of(trait_id: int) -> list[TraitUser]:
    """Everything unfinished that names a trait."""
    return [user for question in QUESTIONS for user in question(trait_id)]
