"""What packages further up may put in: who uses a tag or a group in a condition, so that it is not deleted under them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TagUser:
    """Something that names a tag or a group of tags.

    :param kind: ``audience``, ``transfer_plan``, ``broadcast``
    """

    kind: str
    id: int
    name: str


@dataclass(frozen=True)
class Named:
    """Tags and groups about which is asked."""

    tag_ids: Collection[int] = ()
    group_ids: Collection[int] = ()

    def by(self, tree: object) -> bool:
        """Whether a condition names any of them, wherever; also of one that is no longer valid."""
        if not isinstance(tree, Mapping):
            return False
        asked = set(tree.get("tag_ids") or ()), set(tree.get("tag_group_ids") or ())
        if asked[0] & set(self.tag_ids) or asked[1] & set(self.group_ids):
            return True
        below: list[Any] = [tree.get("not"), *(tree.get("all") or ()), *(tree.get("any") or ())]
        return any(self.by(each) for each in below)


Question = Callable[[Named], list[TagUser]]
QUESTIONS: list[Question] = []


def tag_users(question: Question) -> Question:
    """Ask this function too who names tags and is not finished."""
    if question not in QUESTIONS:
        QUESTIONS.append(question)
    return question


def users_of(named: Named) -> list[TagUser]:
    """Everything unfinished that names one of them, rules apart."""
    return [user for question in QUESTIONS for user in question(named)]
