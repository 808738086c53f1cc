"""What can happen to tags; ids only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class TagsChanged:
    """The tags a customer has changed (in our eyes; WeCom may still have to accept).

    :param added: tags that one of the customer's relations gained
    :param removed: tags that one of them lost
    :param source: who caused it: ``wecom``, ``manual:<actor>``, ``rule:<id>``, ``channel:<id>``
    """

    customer_id: int
    added: tuple[int, ...]
    removed: tuple[int, ...]
    source: str


@dataclass(frozen=True)
class TagReasonsChanged:
    """Who wants tags changed, whether or not customers have others because of it; told once per batch.

    :param changes: (customer id, tag id, source that came or went), sorted
    """

    changes: tuple[tuple[int, int, str], ...]


@dataclass(frozen=True)
class AssignmentMoved:
    """One relation gained or lost one tag; ``version`` makes the change unique for the assignment."""

    assignment_id: int
    version: int
    customer_id: int
    follow_id: int
    tag_id: int
    added: bool
    source: str
    at: datetime


@dataclass(frozen=True)
class AssignmentsPending:
    """Assignments wait to be told to WeCom."""


@dataclass(frozen=True)
class ExclusiveGroupsChanged:
    """Relations may hold several tags of a group that allows one."""


@dataclass(frozen=True)
class TagsAccepted:
    """WeCom accepted new tags, so that assignments of them can be told."""

    tag_ids: tuple[int, ...]


@dataclass(frozen=True)
class TagsDeleted:
    """Tags are gone at WeCom; their assignments follow."""

    tag_ids: tuple[int, ...]


@dataclass(frozen=True)
class PushSwitched:
    """A tag group is told to WeCom from now on, or no longer; its assignments follow."""

    group_id: int


@dataclass(frozen=True)
class TagRefreshWanted:
    """The present state of tags or groups must be fetched from WeCom."""


@dataclass(frozen=True)
class RuleRunWanted:
    """A backfill, an undo or the retirement of a rule waits."""

    run_id: int
