"""What packages further up may put in: who names a file for good, so that it is not taken away under them."""

from __future__ import annotations

from collections.abc import Callable

Question = Callable[[int], str | None]
QUESTIONS: list[Question] = []


def file_users(question: Question) -> Question:
    """Ask this function too who names a file (its id): words such as ``the field contract of person 12``, or None."""
    if question not in QUESTIONS:
        QUESTIONS.append(question)
    return question


def named_by(file_id: int) -> str | None:
    """One of those who name the file for good, in words; None where nobody does."""
    return next((words for question in QUESTIONS if (words := question(file_id))), None)
