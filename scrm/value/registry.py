"""What packages further up may put in: who names a stage, so that it is not taken away under them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class StageUser:
    """Something whose condition names a stage of the lifecycle.

    :param kind: ``rule``, ``audience``, ``transfer_plan``, ``broadcast``
    """

    kind: str
    id: int
    name: str


Question = Callable[[frozenset[str]], list[StageUser]]
QUESTIONS: list[Question] = []


def stage_users(question: Question) -> Question:
    """Ask this function too who names any of some stages (their keys) and is not finished."""
    if question not in QUESTIONS:
        QUESTIONS.append(question)
    return question


def users_of(keys: frozenset[str]) -> list[StageUser]:
    """Everything unfinished that names any of these stages."""
    return [user for question in QUESTIONS for user in question(keys)]
