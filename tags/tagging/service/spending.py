"""A rule's days are over: its wish is spent, and remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select, update

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from tags.arrays import is_one_of
from tags.models import AssignmentState, Preference, TagAssignment, TagChange, TagSource
from tags.service import Move, Wish, after_wish, keep_one, move, with_sources, write_history
from tags.tagging.service import contests
from tags.tagging.service.rows import locked_rows


def spend_sources(assignment_ids: Sequence[int], source: str, by: str) -> None:
    """A rule no longer wants these tags and remembers that it set them; those that nobody else wants go.

    :param by: why, for the history
    """
    if not assignment_ids:
        return
    rows, groups = _lock_assignments(assignment_ids)
    spending = (
        update(TagSource)
        .where(
            is_one_of(TagSource.assignment_id, rows), TagSource.source == source, TagSource.spent_at.is_(None)
        )
        .values(spent_at=utcnow())
        .returning(TagSource.assignment_id)
        .execution_options(synchronize_session=False)
    )
    spent = sorted(session().scalars(spending))
    write_history(
        [
            (
                rows[id_],
                Wish(rows[id_].follow_id, rows[id_].tag_id, source, add=False, by=by, told=TagChange.EXPIRED),
            )
            for id_ in spent
        ]
    )
    kept = with_sources(spent)
    going = [Move(rows[id_], after_wish(rows[id_], wanted=False), source) for id_ in spent if id_ not in kept]
    going = [each for each in going if each.row.state != AssignmentState.REMOVED or each.row.outranked]
    move(keep_one(rows.values(), going, groups, None) if groups else going)


def _lock_assignments(assignment_ids: Sequence[int]) -> tuple[dict[int, Any], Mapping[int, Preference]]:
    """Assignments by id with their rivals in exclusive groups, locked; and those groups."""
    found = select(TagAssignment.follow_id, TagAssignment.tag_id).where(
        is_one_of(TagAssignment.id, assignment_ids)
    )
    keys = {(row.follow_id, row.tag_id) for row in session().execute(found)}
    groups = contests.exclusive_groups({tag_id for _, tag_id in keys})
    if groups:
        contests.hold_relations({follow_id for follow_id, _ in keys})
    return {row.id: row for row in locked_rows(keys, groups).values()}, groups
