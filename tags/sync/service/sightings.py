"""What WeCom shows of a relation's tags, and what a relation's end or return means for them.

A look that began before our last change of a row says nothing about that row; while a call is on its way its own
answer decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, DateTime, Text, delete, exists, literal, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.types import TypeEngine

from scrm.customers.events import FollowTagsSeen
from scrm.customers.models import Follow, FollowStatus
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from tags.arrays import is_one_of, row_table
from tags.catalog.service.refreshing import want_refresh
from tags.events import AssignmentsPending
from tags.models import AssignmentState, RefreshKind, Tag, TagAssignment, TagSighting, TagSource
from tags.service import Move, Wish, after_wish, move, write_history
from tags.tagging.service.contests import exclusive_groups, hold_relations
from tags.tagging.service.rows import ensure_rows, locked_columns, share_pushes
from tags.tagging.service.settling import settle_contests

S = AssignmentState
WECOM = "wecom"
LAG = timedelta(seconds=2)  # WeCom's reads may trail its writes: what changed so recently is not judged
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def reconcile(seen: Sequence[FollowTagsSeen]) -> None:
    """Make our picture of these relations agree with what WeCom showed.

    What WeCom shows and we do not have gets the source ``wecom``; what we hold as active and WeCom no longer shows is
    removed. Seeing the same again changes nothing.
    """
    newest = {event.follow_id: event for event in sorted(seen, key=lambda event: event.seen_at)}
    tags = _known_tags({wecom_id for event in newest.values() for wecom_id in event.wecom_tag_ids})
    shown = {
        (event.follow_id, tags[wecom_id])
        for event in newest.values()
        for wecom_id in event.wecom_tag_ids
        if wecom_id in tags
    }
    _remember_unknown(newest.values(), tags)
    seen_at = {follow_id: event.seen_at for follow_id, event in newest.items()}
    share_pushes()
    if exclusive_groups(tags.values()):
        hold_relations(newest)
    _ensure_shown(shown)
    rows = (
        session()
        .execute(
            locked_columns().where(is_one_of(TagAssignment.follow_id, newest)).order_by(TagAssignment.id)
        )
        .all()
    )
    current = [row for row in rows if row.effect_id is None and row.changed_at < seen_at[row.follow_id] - LAG]
    _appeared([row for row in current if (row.follow_id, row.tag_id) in shown])
    missing = [row for row in current if (row.follow_id, row.tag_id) not in shown]
    _vanished([row for row in missing if row.wecom_id is not None])
    settle_contests(newest)


def reconcile_sightings(everything_since: datetime | None = None) -> None:
    """Tags that were unknown when WeCom showed them are looked at again after a fetch of the tag list.

    :param everything_since: when the fetch of the whole list began; what was shown before that and is still unknown
        does not exist any more. Later sightings, and after a partial fetch all others, wait for the fetch they wished.
    """
    known = exists().where(Tag.wecom_id == TagSighting.wecom_id, Tag.deleted_at.is_(None))
    over = literal(False) if everything_since is None else TagSighting.seen_at < everything_since
    waiting = (
        session()
        .execute(
            delete(TagSighting)
            .where(known | over)
            .returning(TagSighting.follow_id, TagSighting.wecom_id, TagSighting.seen_at)
        )
        .all()
    )
    tags = _known_tags({row.wecom_id for row in waiting})
    shown = {(row.follow_id, tags[row.wecom_id]): row.seen_at for row in waiting if row.wecom_id in tags}
    if not shown:
        return
    share_pushes()
    if exclusive_groups(tags.values()):
        hold_relations({follow_id for follow_id, _ in shown})
    _ensure_shown(set(shown))
    rows = (
        session()
        .execute(
            locked_columns()
            .where(is_one_of(TagAssignment.follow_id, {follow_id for follow_id, _ in shown}))
            .order_by(TagAssignment.id)
        )
        .all()
    )
    _appeared(
        [
            row
            for row in rows
            if row.effect_id is None
            and row.changed_at < shown.get((row.follow_id, row.tag_id), row.changed_at)
        ]
    )
    settle_contests({follow_id for follow_id, _ in shown})


def drop_lost_relations(follow_ids: Iterable[int]) -> None:
    """A member deleted the customer: WeCom keeps nothing of the relation, so its tags and their reasons are gone."""
    gone = (
        locked_columns()
        .join(Follow, Follow.id == TagAssignment.follow_id)
        .where(is_one_of(Follow.id, follow_ids), Follow.status == FollowStatus.DELETED_BY_STAFF)
        .order_by(TagAssignment.id)
    )
    drop_everything(session().execute(gone).all(), by="relation ended")


def drop_everything(rows: Sequence[Any], by: str) -> None:
    """Take every source of locked assignments away and call them removed, because WeCom no longer has them."""
    by_id = {row.id: row for row in rows}
    if not by_id:
        return
    dropped = session().execute(
        delete(TagSource)
        .where(is_one_of(TagSource.assignment_id, by_id))
        .returning(TagSource.assignment_id, TagSource.source)
    )
    lines = [(by_id[row.assignment_id], Wish(0, 0, row.source, add=False, by=by)) for row in dropped]
    write_history(lines)
    move([Move(row, S.REMOVED, WECOM) for row in rows])


def try_refused_again(follow_ids: Iterable[int]) -> None:
    """A relation began (again): what WeCom refused for want of it, or what waited for it, can be told now."""
    again = (
        locked_columns()
        .where(
            is_one_of(TagAssignment.follow_id, follow_ids),
            TagAssignment.state == S.FAILED,
            TagAssignment.effect_adds.is_(True),
            exists().where(TagSource.assignment_id == TagAssignment.id),
        )
        .order_by(TagAssignment.id)
    )
    move([Move(row, after_wish(row, wanted=True), WECOM) for row in session().execute(again)])
    publish(AssignmentsPending())


def _known_tags(wecom_ids: set[str]) -> dict[str, int]:
    if not wecom_ids:
        return {}
    found = select(Tag.wecom_id, Tag.id).where(Tag.wecom_id.in_(wecom_ids), Tag.deleted_at.is_(None))
    return {str(wecom_id): tag_id for wecom_id, tag_id in session().execute(found)}


def _remember_unknown(events: Iterable[FollowTagsSeen], tags: dict[str, int]) -> None:
    unknown = sorted(
        (event.follow_id, wecom_id, event.seen_at)
        for event in events
        for wecom_id in set(event.wecom_tag_ids)
        if wecom_id not in tags
    )
    if not unknown:
        return
    types: dict[str, TypeEngine[Any]] = {
        "follow_id": BigInteger(),
        "wecom_id": Text(),
        "seen_at": DateTime(timezone=True),
    }
    rows = row_table("rows", types, unknown)
    adding = upsert(TagSighting).from_select(
        ["follow_id", "wecom_id", "seen_at"], select(rows.c.follow_id, rows.c.wecom_id, rows.c.seen_at)
    )
    newer = adding.on_conflict_do_update(
        index_elements=["follow_id", "wecom_id"], set_={"seen_at": adding.excluded.seen_at}
    )
    session().execute(newer)
    want_refresh({wecom_id: RefreshKind.TAG for _, wecom_id, _ in unknown})


def _ensure_shown(shown: set[tuple[int, int]]) -> None:
    """Make the missing assignments; they are dated long ago, so that the look which found them counts."""
    ensure_rows(shown, changed_at=LONG_AGO)


def _appeared(rows: Sequence[Any]) -> None:
    """WeCom has these: active, with WeCom as a source unless another reason was confirmed before."""
    new = [row for row in rows if row.state in {S.REMOVED, S.FAILED, S.PENDING_ADD}]
    if not new:
        return
    sources = [{"assignment_id": row.id, "source": WECOM, "since": utcnow()} for row in new]
    made = upsert(TagSource).on_conflict_do_nothing().returning(TagSource.assignment_id)
    told = set(session().scalars(made, sources))
    write_history([(row, Wish(0, 0, WECOM, add=True)) for row in new if row.id in told])
    move([Move(row, S.ACTIVE, WECOM) for row in new])


def _vanished(rows: Sequence[Any]) -> None:
    """WeCom no longer has these: somebody took them away there, which overrules everybody but does not forget rules."""
    gone = [
        row for row in rows if row.state in {S.ACTIVE, S.PENDING_REMOVE, S.FAILED} and not _refused_add(row)
    ]
    by_id = {row.id: row for row in gone}
    if not by_id:
        return
    dropped = (
        session()
        .execute(
            delete(TagSource)
            .where(is_one_of(TagSource.assignment_id, by_id), TagSource.source.not_like("rule:%"))
            .returning(TagSource.assignment_id, TagSource.source)
        )
        .all()
    )
    lines = [(by_id[row.assignment_id], Wish(0, 0, row.source, add=False, by=WECOM)) for row in dropped]
    told = {row.assignment_id for row in dropped}
    lines += [
        (row, Wish(0, 0, WECOM, add=False)) for row in gone if row.id not in told and row.state == S.ACTIVE
    ]
    write_history(lines)
    move([Move(row, S.REMOVED, WECOM) for row in gone])


def _refused_add(row: Any) -> bool:
    return row.state == S.FAILED and bool(row.effect_adds)
