"""The tag list as WeCom has it: what must be fetched again, and how a listing is taken over.

A listing changes nothing unless WeCom answered it whole. What would vanish unannounced in large numbers is not believed
at once. A listing that began before WeCom accepted a change of ours says nothing about that row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.kernel.locks import hold_in_transaction
from tags.events import TagRefreshWanted, TagsAccepted, TagsDeleted
from tags.models import PullState, Push, RefreshKind, Tag, TagGroup, TagPull, TagRefresh

LOCK = "tags.catalog"  # one writer of the tag list at a time: it is short, and names must stay unique
EVERYTHING = ""
FEW, SHARE = 10, 0.5  # more than this many, and this share, do not vanish unannounced at once
EVENT_RESOLUTION = timedelta(seconds=1)
SECOND_LOOK = timedelta(minutes=10)  # unless a later listing still says so


@dataclass(frozen=True)
class Listing:
    """What WeCom answered.

    :param groups: ``tag_group`` objects of ``get_corp_tag_list`` that hold all their tags
    :param parts: ``tag_group`` objects that hold only the tags asked for
    :param whole: ``groups`` are all groups there are
    :param announced: wecom ids that a callback called deleted
    """

    started_at: datetime
    groups: Sequence[Mapping[str, Any]] = ()
    parts: Sequence[Mapping[str, Any]] = ()
    whole: bool = False
    announced: frozenset[str] = frozenset()


@dataclass
class Report:
    """What taking over a listing did."""

    seen: int = 0
    added: int = 0
    changed: int = 0
    gone: int = 0
    accepted: list[int] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)


def want_refresh(
    kinds: Mapping[str, RefreshKind],
    gone: Iterable[str] = (),
    told_at: Mapping[str, datetime] | None = None,
) -> None:
    """Say that tags or groups changed at WeCom (wecom id → kind; an empty id: everything); a job fetches them.

    Two changes of one tag in one second make two callbacks with the same bytes, of which one row is kept: a fetch
    within that second could miss the second change for good. So a callback's second is waited out.

    :param told_at: times of the callbacks by wecom id
    """
    deleted, now, told = set(gone), utcnow(), told_at or {}
    values = [
        {
            "wecom_id": id_,
            "kind": kind,
            "gone": id_ in deleted,
            "wanted_at": max(now, told[id_] + EVENT_RESOLUTION) if id_ in told else now,
        }
        for id_, kind in sorted(kinds.items())
    ]
    if not values:
        return
    adding = upsert(TagRefresh)
    session().execute(
        adding.on_conflict_do_update(
            index_elements=["wecom_id"],
            set_={
                "wanted_at": func.greatest(adding.excluded.wanted_at, TagRefresh.wanted_at),
                "gone": adding.excluded.gone | TagRefresh.gone,
            },
        ),
        values,
    )
    publish(TagRefreshWanted())


def fetched(started_at: datetime) -> None:
    """Strike what was wanted before a fetch that began at ``started_at``; later wishes stay."""
    session().execute(delete(TagRefresh).where(TagRefresh.wanted_at <= started_at))


def report_failure(started_at: datetime, *, whole: bool, error: str) -> None:
    """Keep that a fetch failed; nothing was changed."""
    session().add(
        TagPull(state=PullState.FAILED, whole=whole, started_at=started_at, finished_at=utcnow(), error=error)
    )


def take_over(listing: Listing) -> TagPull:
    """Make our tag list agree with what WeCom answered; returns the report, which is kept."""
    hold_in_transaction(LOCK)
    report = Report()
    groups = {group.wecom_id: group for group in _live_or_known(TagGroup)}
    tags = {tag.wecom_id: tag for tag in _live_or_known(Tag)}
    vanished = _vanished(listing, groups, tags)
    pull = TagPull(
        state=PullState.DONE, whole=listing.whole, started_at=listing.started_at, finished_at=utcnow()
    )
    if _unbelievable(vanished, listing, groups, tags):
        pull.state = PullState.STOPPED
        pull.error = f"{len(vanished)} of {len(tags)} tags would vanish; looked at again in 10 minutes"
        vanished = []
    _bury(vanished, report)
    bury_empty_groups()  # first: a group of the same name may have been made since
    _merge(listing, groups, tags, report)
    bury_empty_groups()
    pull.seen, pull.added, pull.changed, pull.gone = report.seen, report.added, report.changed, report.gone
    session().add(pull)
    fetched(listing.started_at)
    publish(TagsAccepted(tuple(report.accepted)), TagsDeleted(tuple(report.deleted)))
    return pull


def bury_empty_groups() -> None:
    """A group dies with its last tag, as at WeCom."""
    alive = exists().where(Tag.group_id == TagGroup.id, Tag.deleted_at.is_(None), Tag.wecom_id.is_not(None))
    session().flush()
    session().execute(
        update(TagGroup)
        .where(TagGroup.wecom_id.is_not(None), TagGroup.deleted_at.is_(None), ~alive)
        .values(deleted_at=utcnow(), pending=None)
        .execution_options(synchronize_session="fetch")
    )


def _live_or_known(model: type[Any]) -> Sequence[Any]:
    """Every row that WeCom knows or that waits to be known there."""
    statement = select(model).where(model.deleted_at.is_(None) | model.wecom_id.is_not(None))
    return session().scalars(statement.execution_options(populate_existing=True)).all()


def _older(row: Any, listing: Listing) -> bool:
    """Whether the listing can judge this row: our last accepted change came before it."""
    return row.confirmed_at is None or row.confirmed_at < listing.started_at


def _vanished(listing: Listing, groups: Mapping[Any, Any], tags: Mapping[Any, Any]) -> list[Tag]:
    shown = {str(tag["id"]) for group in listing.groups for tag in group["tag"] if not tag.get("deleted")}
    complete = {str(group["group_id"]) for group in listing.groups}
    inside = {group.id for id_, group in groups.items() if id_ in complete}
    dead = {
        str(t["id"])
        for group in listing.parts
        for t in group["tag"]
        if t.get("deleted") or group.get("deleted")
    }
    return [
        tag
        for id_, tag in tags.items()
        if id_ is not None
        and tag.deleted_at is None
        and _older(tag, listing)
        and (id_ in dead or (id_ not in shown and (listing.whole or tag.group_id in inside)))
    ]


def _unbelievable(
    vanished: Sequence[Tag], listing: Listing, groups: Mapping[Any, Any], tags: Mapping[Any, Any]
) -> bool:
    told = {groups[id_].id for id_ in listing.announced if id_ in groups}
    silent = [tag for tag in vanished if tag.wecom_id not in listing.announced and tag.group_id not in told]
    living = sum(1 for tag in tags.values() if tag.deleted_at is None and tag.wecom_id)
    if not listing.whole or len(silent) <= FEW or len(silent) <= SHARE * living:
        return False
    before = select(TagPull).where(TagPull.whole).order_by(TagPull.id.desc()).limit(1)
    last = session().scalars(before).one_or_none()
    stopped_before = last is not None and last.state == PullState.STOPPED
    return not (stopped_before and last is not None and last.started_at < listing.started_at - SECOND_LOOK)


def _bury(tags: Sequence[Tag], report: Report) -> None:
    now = utcnow()
    for tag in tags:
        tag.deleted_at, tag.pending = now, None
        report.gone += 1
        report.deleted.append(tag.id)
    session().flush()


def _merge(listing: Listing, groups: dict[Any, Any], tags: dict[Any, Any], report: Report) -> None:
    """Add and change groups, then their tags. Names are freed before they are given anew, so that two may swap."""
    living = [g for g in [*listing.groups, *listing.parts] if not g.get("deleted")]
    mine = {group.name: group for group in _unconfirmed(TagGroup) if group.push == Push.WECOM}
    of_group: dict[str, tuple[str, int, dict[str, Any]]] = {
        str(g["group_id"]): (g["group_name"], int(g.get("order", 0)), {}) for g in living
    }
    found = _merge_rows(TagGroup, of_group, groups, mine, listing, report)
    for group in living:
        parent = found[str(group["group_id"])]
        waiting = {tag.name: tag for tag in _unconfirmed(Tag) if tag.group_id == parent.id}
        shown = {
            str(tag["id"]): (tag["name"], int(tag.get("order", 0)), {"group_id": parent.id})
            for tag in group["tag"]
            if not tag.get("deleted")
        }
        report.seen += len(shown)
        _merge_rows(Tag, shown, tags, waiting, listing, report)


def _unconfirmed(model: type[Any]) -> Sequence[Any]:
    return session().scalars(select(model).where(model.wecom_id.is_(None), model.deleted_at.is_(None))).all()


def _merge_rows(
    model: type[Any],
    shown: Mapping[str, tuple[str, int, dict[str, Any]]],
    known: dict[Any, Any],
    mine: dict[str, Any],
    listing: Listing,
    report: Report,
) -> dict[str, Any]:
    """Write ``shown`` (wecom id → name, order, parent) over ``known``; our own unconfirmed rows are met by name."""
    changes = []
    for wecom_id, (name, position, parent) in shown.items():
        row = known.get(wecom_id)
        is_known = row is not None
        if row is None:
            row = known[wecom_id] = _adopt_or_add(model, wecom_id, name, mine, parent, report)
        wanted = {"name": name, "position": position, "deleted_at": None, **parent}
        differing = {key: value for key, value in wanted.items() if getattr(row, key) != value}
        if differing and _older(row, listing):
            changes.append((row, differing))
            report.changed += is_known
    _give_way(mine, {name for name, _, _ in shown.values()}, report)
    _write_names_last(changes)
    return {wecom_id: known[wecom_id] for wecom_id in shown}


def _give_way(mine: Mapping[str, Any], names: set[str], report: Report) -> None:
    """A row WeCom has not accepted yet whose name another row has there now: WeCom will refuse it."""
    for name in mine.keys() & names:
        row = mine[name]
        row.deleted_at, row.failed = utcnow(), "WeCom has another one of this name"
        if isinstance(row, Tag):
            report.deleted.append(row.id)


def _write_names_last(changes: Sequence[tuple[Any, dict[str, Any]]]) -> None:
    for row, differing in changes:
        row.name = _placeholder(row.wecom_id) if "name" in differing else row.name
    session().flush()
    for row, differing in changes:
        for key, value in differing.items():
            setattr(row, key, value)
    session().flush()


def _placeholder(wecom_id: str) -> str:
    """A name that nobody has, for the moment in which names change hands."""
    return f"\x01{wecom_id}"


def _adopt_or_add(
    model: type[Any], wecom_id: str, name: str, mine: dict[str, Any], parent: dict[str, Any], report: Report
) -> Any:
    row = mine.pop(name, None)
    if row is None:
        row = model(wecom_id=wecom_id, name=_placeholder(wecom_id), position=0, **parent)
        session().add(row)
        report.added += 1
    else:
        row.wecom_id, row.failed, row.pending = wecom_id, None, None
    session().flush()
    if model is Tag:
        report.accepted.append(row.id)
    return row
