"""The list of enterprise tags."""

from __future__ import annotations

from typing import Any

from sqlalchemy import or_, select

from scrm.kernel.db import session
from scrm.sync.models import SyncPart, SyncRun
from scrm.sync.service import staging
from scrm.sync.service.applying.done import Done
from scrm.sync.service.pages import Json
from scrm.sync.service.tally import counted
from tags.catalog.service.refreshing import Listing, take_over
from tags.models import Tag, TagGroup
from tags.sync.service.sightings import reconcile_sightings


def compare(run: SyncRun, part: SyncPart) -> Done:
    """Note tags that are no longer listed."""
    shown = {tag["id"] for group in _groups(part) for tag in group["tag"]}
    living = select(Tag.id, Tag.wecom_id).where(
        Tag.deleted_at.is_(None), Tag.wecom_id.is_not(None),
        or_(Tag.confirmed_at.is_(None), Tag.confirmed_at < part.started_at),
    )  # fmt: skip
    gone = [(row.id, row.wecom_id) for row in session().execute(living) if row.wecom_id not in shown]
    staging.miss(part.id, "tags", gone)
    return Done()


def apply(run: SyncRun, part: SyncPart) -> Done:
    """Write tags and groups that are new or differ; what is missing is left for later."""
    groups = _groups(part)
    seen = sum(1 + len(group["tag"]) for group in groups)
    if part.started_at is None or _same(groups):
        return Done({"tags": counted(seen=seen)})
    pull = take_over(Listing(part.started_at, parts=groups))
    reconcile_sightings()
    return Done({"tags": counted(seen=seen, new=pull.added, changed=pull.changed)})


def close(run: SyncRun, part: SyncPart, ids: list[int]) -> Done:
    """Tags are gone; their assignments follow in slices of their own."""
    if part.started_at is None:
        return Done()
    names = select(Tag.wecom_id).where(Tag.id.in_(ids))
    announced = frozenset(str(wecom_id) for wecom_id in session().scalars(names))
    pull = take_over(
        Listing(part.started_at, groups=_groups(part), whole=True, announced=announced)
    )  # announced: the guard of this run has looked at them, or a person has
    reconcile_sightings(part.started_at)
    return Done({"tags": counted(gone=pull.gone, gone_ids=ids)})


def _groups(part: SyncPart) -> list[Json]:
    return [item.body for item in staging.items_of_part(part.id, "tag_groups")]


def _same(groups: list[Json]) -> bool:
    """Whether every group and tag shown is ours already, name and order included."""
    theirs = {(g["group_id"], g["group_name"], int(g.get("order", 0))) for g in groups}
    tags = {(t["id"], t["name"], int(t.get("order", 0)), g["group_id"]) for g in groups for t in g["tag"]}
    return theirs <= _our_groups() and tags <= _our_tags()


def _our_groups() -> set[tuple[Any, ...]]:
    rows = select(TagGroup.wecom_id, TagGroup.name, TagGroup.position).where(TagGroup.deleted_at.is_(None))
    return {tuple(row) for row in session().execute(rows)}


def _our_tags() -> set[tuple[Any, ...]]:
    rows = (
        select(Tag.wecom_id, Tag.name, Tag.position, TagGroup.wecom_id)
        .join(TagGroup, TagGroup.id == Tag.group_id)
        .where(Tag.deleted_at.is_(None))
    )
    return {tuple(row) for row in session().execute(rows)}
