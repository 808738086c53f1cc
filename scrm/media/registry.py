"""What packages further up may put in: who names a file for good, and whom a file they name is shown to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement

from scrm.kernel.permissions import Actor

Question = Callable[[int, Actor | None], str | None]
Veil = Callable[[Actor, Any], ColumnElement[bool] | None]
QUESTIONS: list[Question] = []
VEILS: list[Veil] = []


def file_users(question: Question) -> Question:
    """Ask this function too who names a file (its id): words such as ``the field contract of person 12``, or None.

    It is told who will read the words (None: the program itself), and says no more than they may know.
    """
    if question not in QUESTIONS:
        QUESTIONS.append(question)
    return question


def file_veil(veil: Veil) -> Veil:
    """Ask this function too which files an actor may see: a clause over the column of file ids, None: all of them.

    The clause is false only for files that others have named and that this actor may see with none of those.
    """
    if veil not in VEILS:
        VEILS.append(veil)
    return veil


def named_by(file_id: int, actor: Actor | None = None) -> str | None:
    """One of those who name the file for good, in words; None where nobody does."""
    return next((words for question in QUESTIONS if (words := question(file_id, actor))), None)


def veils_for(actor: Actor, file_id: Any) -> list[ColumnElement[bool]]:
    """What all has to be true of a file, by the column of its id, so that the actor may see it; empty: nothing."""
    clauses = [veil(actor, file_id) for veil in VEILS]
    return [clause for clause in clauses if clause is not None]
