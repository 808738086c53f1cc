"""What packages further up may put in: who uses an audience, so that it is not taken away under them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class AudienceUser:
    """Something that names an audience.

    :param kind: ``rule``, ``audience``, ``transfer_plan``, ``broadcast``
    """

    kind: str
    id: int
    name: str


Question = Callable[[int], list[AudienceUser]]
QUESTIONS: list[Question] = []


def audience_users(question: Question) -> Question:
    """Ask this function too who uses an audience (its id) and is not finished."""
    if question not in QUESTIONS:
        QUESTIONS.append(question)
    return question
