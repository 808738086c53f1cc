"""A tag group comes to be told to WeCom, or to be kept here alone; who holds its tags goes on holding them.

To WeCom: first every present holder waits to be told, in slices, and only then the group is made there, so that no look at
WeCom can take a tag for missing which it was never told of. From WeCom: what was there becomes a group of its own in
the list, which stays or is deleted as any other; the local one goes on without a trace of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import exists, select, update

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput
from scrm.kernel.events import publish
from scrm.kernel.locks import hold_in_transaction
from tags.arrays import is_one_of
from tags.catalog.queries.switches import SwitchPlan, relations_of_switch
from tags.catalog.service.editing import (
    MAX_TAGS,
    find_row,
    plan_creation,
    plan_deletion,
    pushed_tags,
    refuse_switching,
    tags_of,
)
from tags.catalog.service.refreshing import LOCK
from tags.events import PushSwitched
from tags.models import AssignmentState, Push, Tag, TagAssignment, TagGroup, TagSource
from tags.service import Move, after_wish, move
from tags.tagging.service.rows import hold_pushes, locked_columns
from tags.tagging.service.settling import settle_contests

S = AssignmentState
SLICE = 5000
UNSETTLED = (S.PENDING_ADD, S.PENDING_REMOVE, S.FAILED)


class AtWecom(StrEnum):
    """What becomes of the tags at WeCom when a group is no longer told there."""

    KEEP = "keep"  # they stay there, and in our list as a group of WeCom's
    DELETE = "delete"  # they are deleted there, and taken off everybody


def plan_switch(group_id: int, push: Push, at_wecom: AtWecom | None) -> SwitchPlan:
    """What a switch would do, without doing it.

    :raises NotFound: no such group
    :raises InvalidInput: it is so already, ``at_wecom`` is missing or does not belong, WeCom has no room or has a group
        of that name
    :raises Conflict: a change of the group or of a tag is on its way
    """
    group = find_row(TagGroup, group_id)
    refuse_switching(group)
    tags = tags_of(group)
    _check(group, tags, push, at_wecom)
    return SwitchPlan(
        group_id=group.id,
        push=push,
        at_wecom=at_wecom,
        tags=len(tags),
        calls=_catalog_calls(group, push, at_wecom),
        confirm=_confirmation(group, tags, push, at_wecom),
        **relations_of_switch([tag.id for tag in tags]),
    )


def switch_group(group_id: int, push: Push, at_wecom: AtWecom | None, confirm: str | None) -> TagGroup:
    """Have a group told to WeCom from now on, or no longer; its assignments follow in the background.

    :param confirm: of a :class:`SwitchPlan` of the same switch with the same tags
    :raises Conflict: nobody confirmed; or as for :func:`plan_switch`
    """
    hold_pushes()
    hold_in_transaction(LOCK)
    plan = plan_switch(group_id, push, at_wecom)
    if confirm != plan.confirm:
        raise _unconfirmed(plan)
    group = find_row(TagGroup, group_id)
    copy = _take_out(group) if push == Push.LOCAL and group.wecom_id is not None else None
    group.push, group.switching = push, True
    session().flush()
    if copy is not None:
        _put_copy(copy, delete=at_wecom == AtWecom.DELETE)
    publish(PushSwitched(group.id))
    return group


def _check(group: TagGroup, tags: Sequence[Tag], push: Push, at_wecom: AtWecom | None) -> None:
    if group.push == push:
        raise InvalidInput.field("push", f"tag group {group.id} is {push} already")
    rows: list[TagGroup | Tag] = [group, *tags]
    for row in rows:
        waits = group.push == Push.WECOM and row.wecom_id is None and row.failed is None
        if row.pending is not None or waits:
            raise Conflict(f"a change of tag group {group.id} is on its way to WeCom; ask again in a moment")
    if push == Push.WECOM:
        _check_room(group, tags, at_wecom)
    elif group.wecom_id is not None and at_wecom is None:
        raise InvalidInput.field(
            "at_wecom", "must be keep (the tags stay at WeCom) or delete (they go there, off every customer)"
        )


def _check_room(group: TagGroup, tags: Sequence[Tag], at_wecom: AtWecom | None) -> None:
    if at_wecom is not None:
        raise InvalidInput.field("at_wecom", "belongs to push: local")
    if not tags:
        raise InvalidInput.field("push", "must stay local: WeCom has no group without tags")
    if (there := pushed_tags()) + len(tags) > MAX_TAGS:
        raise InvalidInput.field(
            "push",
            f"must stay local: WeCom has {there} tags, allows {MAX_TAGS}, and this group has {len(tags)}",
        )
    if _called(tags):
        raise Conflict("calls about tags of this group are on their way to WeCom; ask again in a moment")
    same = select(TagGroup.id).where(
        TagGroup.name == group.name, TagGroup.id != group.id, TagGroup.deleted_at.is_(None)
    )
    if (other := session().scalar(same)) is not None:
        raise InvalidInput.field(
            "push",
            f"must stay local: WeCom has a group of the same name (tag group {other}); rename one of the two, or delete "
            "that one",
        )


def _called(tags: Sequence[Tag]) -> bool:
    a = TagAssignment
    out = exists().where(is_one_of(a.tag_id, [tag.id for tag in tags]), a.effect_id.is_not(None))
    return bool(session().scalar(select(out)))


def _catalog_calls(group: TagGroup, push: Push, at_wecom: AtWecom | None) -> int:
    deletes = group.wecom_id is not None and at_wecom == AtWecom.DELETE
    return 1 if push == Push.WECOM or deletes else 0


def _confirmation(group: TagGroup, tags: Sequence[Tag], push: Push, at_wecom: AtWecom | None) -> str:
    said = [group.id, push, at_wecom, [tag.id for tag in tags]]
    return hashlib.blake2s(orjson.dumps(said), digest_size=8).hexdigest()


def _unconfirmed(plan: SwitchPlan) -> Conflict:
    return Conflict(
        f"{plan.words['en']} To go on, send confirm: {plan.confirm}",
        fields={
            "confirm": plan.confirm,
            "relations": str(plan.relations),
            "wecom_calls": str(plan.wecom_calls),
            "wecom_seconds": f"{plan.wecom_seconds:.0f}",
        },
        code="tag-push-unconfirmed",
    )


def _take_out(group: TagGroup) -> tuple[TagGroup, list[Tag]]:
    """What WeCom has of a group, as rows of their own that are not written yet; the group itself forgets it.

    It remembers its last call: the next one, should it come back, is another.
    """
    copy = TagGroup(
        name=group.name, position=group.position, wecom_id=group.wecom_id, confirmed_at=group.confirmed_at
    )
    tags = []
    for tag in tags_of(group):
        if tag.wecom_id is not None:
            tags.append(
                Tag(
                    name=tag.name, position=tag.position, wecom_id=tag.wecom_id, confirmed_at=tag.confirmed_at
                )
            )
        tag.wecom_id = tag.confirmed_at = tag.failed = None
    group.wecom_id = group.confirmed_at = group.failed = None
    return copy, tags


def _put_copy(copy: tuple[TagGroup, list[Tag]], *, delete: bool) -> None:
    group, tags = copy
    session().add(group)
    session().flush()
    for tag in tags:
        tag.group_id = group.id
    session().add_all(tags)
    session().flush()
    if delete:
        plan_deletion(group, {"group_id": [group.wecom_id]})


def switching_wanted() -> Any:
    """Whether a group is on its way."""
    return exists().where(TagGroup.switching, TagGroup.deleted_at.is_(None))


def switch_slice(limit: int = SLICE) -> int:
    """Let the next assignments follow the oldest group on its way; how many, 0 when no group is."""
    waiting = select(TagGroup).where(TagGroup.switching, TagGroup.deleted_at.is_(None)).order_by(TagGroup.id)
    group = session().scalars(
        waiting.limit(1).with_for_update(skip_locked=True).execution_options(populate_existing=True)
    ).one_or_none()  # fmt: skip
    if group is None:
        return 0
    done = _wait_for_wecom(group, limit) if group.push == Push.WECOM else _hold_here(group, limit)
    if done < limit:
        group.switching = False
        session().flush()
        if group.push == Push.WECOM:
            hold_in_transaction(LOCK)
            plan_creation(group, tags_of(group))
    return max(1, done)


def _picked(group: TagGroup, states: Sequence[AssignmentState], limit: int) -> Any:
    a = TagAssignment
    ids = (
        select(a.id)
        .join(Tag, Tag.id == a.tag_id)
        .where(Tag.group_id == group.id, a.state.in_(states), a.state != S.REMOVED)
        .limit(limit)
    )
    return a.id.in_(ids.scalar_subquery())


def _wait_for_wecom(group: TagGroup, limit: int) -> int:
    """Holders wait to be told; for everybody here nothing changes, so nobody hears of it."""
    held = select(TagAssignment.id).where(_picked(group, [S.ACTIVE], limit)).order_by(TagAssignment.id)
    ids = session().scalars(held.with_for_update()).all()
    session().execute(
        update(TagAssignment)
        .where(is_one_of(TagAssignment.id, ids), TagAssignment.state == S.ACTIVE)
        .values(state=S.PENDING_ADD, version=TagAssignment.version + 1, changed_at=utcnow())
        .execution_options(synchronize_session=False)
    )
    return len(ids)


def _hold_here(group: TagGroup, limit: int) -> int:
    """What waited for WeCom, and what it refused, is as it is wanted."""
    wanted = exists().where(TagSource.assignment_id == TagAssignment.id, TagSource.spent_at.is_(None))
    rows = session().execute(
        locked_columns().add_columns(wanted.label("wanted"))
        .where(_picked(group, UNSETTLED, limit)).order_by(TagAssignment.id)
    ).all()  # fmt: skip
    move([Move(row, after_wish(row, wanted=_stays(row)), f"group:{group.id}") for row in rows])
    settle_contests({row.follow_id for row in rows})
    return len(rows)


def _stays(row: Any) -> bool:
    refused_add = row.state == S.FAILED and row.effect_adds
    return row.state == S.PENDING_ADD or bool(refused_add and row.wanted)
