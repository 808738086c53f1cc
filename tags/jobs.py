"""What workers do for tags: tell WeCom, fetch the tag list, clear up after deleted tags."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import ColumnElement, and_, exists, or_, select

from config.queues import Queue
from scrm.customers.models import Follow
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session, transaction
from scrm.kernel.jobs import job
from scrm.wecom.client import Client, wecom
from scrm.wecom.errors import NotFound, WecomError
from scrm.wecom.models import Priority
from tags.catalog.service.refreshing import EVERYTHING, Listing, report_failure, take_over, want_refresh
from tags.catalog.service.switching import switch_slice, switching_wanted
from tags.models import PullState, RefreshKind, Tag, TagAssignment, TagPull, TagRefresh
from tags.sync.service.pushes import plan_pushes, sendable
from tags.sync.service.retiring import drop_orphans, orphans_left
from tags.sync.service.sightings import reconcile_sightings
from tags.tagging.service.settling import settle_slice, settling_wanted

RUN_SECONDS = 20.0
PULL_PAUSE = timedelta(seconds=30)  # after a fetch that failed
FEW = 100  # more ids than this are fetched as the whole list: one call without paging
API = "externalcontact/get_corp_tag_list"
log = structlog.get_logger(__name__)


def _pushes_wait() -> bool:
    waiting = (
        select(TagAssignment.id)
        .join(Tag, Tag.id == TagAssignment.tag_id)
        .join(Follow, Follow.id == TagAssignment.follow_id)
        .where(*sendable())
    )
    return bool(session().scalar(select(exists(waiting))))


@job(Queue.EVENTS, due=_pushes_wait)
def push_assignments() -> None:
    """Plan one ``mark_tag`` for each relation with pending tags."""
    _until_empty(plan_pushes, push_assignments)


def _until_empty(step: Any, this: Any) -> None:
    """Run ``step`` in transactions of its own until it finds nothing or 20 s are over; then wake ``this`` again."""
    stop = time.monotonic() + RUN_SECONDS
    while time.monotonic() < stop:
        with transaction():
            if not step():
                return
    this.wake()


def _refreshes_wait() -> bool:
    recent = exists().where(TagPull.state == PullState.FAILED, TagPull.finished_at > utcnow() - PULL_PAUSE)
    due = exists().where(TagRefresh.wanted_at <= utcnow())
    wanted = or_(due, ~_ever_pulled())
    return bool(session().scalar(select(and_(wanted, ~recent))))


def _ever_pulled() -> ColumnElement[bool]:
    return exists().where(TagPull.whole, TagPull.state != PullState.FAILED)


@job(Queue.BACKGROUND, due=_refreshes_wait)
def refresh_tags() -> None:
    """Fetch what callbacks, unknown tags or people said has changed; everything when that was never fetched."""
    with transaction():  # ends before WeCom is called
        if not session().scalar(select(_ever_pulled())):
            want_refresh({EVERYTHING: RefreshKind.EVERYTHING})
        columns = select(TagRefresh.wecom_id, TagRefresh.kind, TagRefresh.gone)
        wanted = session().execute(columns.where(TagRefresh.wanted_at <= utcnow())).all()
    if wanted:
        _pull(wanted)


@job(Queue.BACKGROUND, due=orphans_left)
def drop_deleted_tags() -> None:
    """Remove the assignments of tags that are gone."""
    _until_empty(drop_orphans, drop_deleted_tags)


def _pull(wanted: Sequence[Any]) -> None:
    started = utcnow()
    whole = len(wanted) > FEW or any(row.kind == RefreshKind.EVERYTHING or row.gone for row in wanted)
    try:
        listing = _listing(wanted, started, whole)
    except WecomError as error:
        log.warning("tag list not fetched", errcode=error.errcode, kind=error.kind)
        with transaction():
            report_failure(started, whole=whole, error=str(error))
        return
    with transaction():
        pull = take_over(listing)
        reconcile_sightings(listing.started_at if listing.whole and pull.state == PullState.DONE else None)
    log.info(
        "tag list fetched",
        state=pull.state,
        seen=pull.seen,
        added=pull.added,
        changed=pull.changed,
        gone=pull.gone,
    )


@job(Queue.BACKGROUND, due=lambda: bool(session().scalar(select(settling_wanted()))))
def settle_exclusive_groups() -> None:
    """Leave one tag of exclusive groups where relations hold several."""
    _until_empty(settle_slice, settle_exclusive_groups)


@job(Queue.BACKGROUND, due=lambda: bool(session().scalar(select(switching_wanted()))))
def switch_pushes() -> None:
    """Let assignments follow the groups that came to be told to WeCom, or no longer are."""
    _until_empty(switch_slice, switch_pushes)


def _listing(wanted: Sequence[Any], started: datetime, whole: bool) -> Listing:
    """What WeCom has of the wanted ids; the whole list when it does not know one of them."""
    client = wecom(priority=Priority.SYNC)
    announced = frozenset(row.wecom_id for row in wanted if row.gone)
    if not whole:
        try:
            listing = _some(client, wanted, started)
        except NotFound:
            listing = None
        if listing is not None:
            return listing
    answer = client.post(API, {})
    return Listing(started, groups=answer["tag_group"], whole=True, announced=announced)


def _some(client: Client, wanted: Sequence[Any], started: datetime) -> Listing | None:
    """Only the wanted groups and tags; None when one of them was not in the answer. Two calls: with both kinds of ids
    in one, WeCom ignores the tags.
    """
    group_ids = [row.wecom_id for row in wanted if row.kind == RefreshKind.GROUP]
    tag_ids = [row.wecom_id for row in wanted if row.kind == RefreshKind.TAG]
    groups = client.post(API, {"group_id": group_ids})["tag_group"] if group_ids else []
    parts = client.post(API, {"tag_id": tag_ids})["tag_group"] if tag_ids else []
    if set(group_ids) - _ids(groups, "group_id") or set(tag_ids) - _ids(_tags(parts), "id"):
        return None
    return Listing(started, groups=groups, parts=parts)


def _tags(groups: Iterable[Any]) -> list[Any]:
    return [tag for group in groups for tag in group["tag"]]


def _ids(items: Iterable[Any], key: str) -> set[str]:
    return {str(item[key]) for item in items}
