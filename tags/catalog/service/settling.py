"""WeCom answered a change of the tag list: what it accepted becomes ours, what it refused says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.kernel.locks import hold_in_transaction
from scrm.wecom.events import EffectSettled
from scrm.wecom.models import Effect, EffectState
from tags.arrays import is_one_of
from tags.catalog.service.refreshing import EVERYTHING, LOCK, bury_empty_groups, want_refresh
from tags.events import TagsAccepted, TagsDeleted
from tags.models import RefreshKind, Tag, TagGroup

UNKNOWN_TAG = 40068  # WeCom does not know the tag: deleted there already


def settle_catalog(settled: Sequence[EffectSettled]) -> None:
    """Effects ``add_tag``, ``edit_tag``, ``delete_tag`` ended."""
    hold_in_transaction(LOCK)
    found = select(Effect).where(is_one_of(Effect.id, [event.effect_id for event in settled]))
    for effect in session().scalars(found.execution_options(populate_existing=True)):
        rows = [*_rows(TagGroup, effect.id), *_rows(Tag, effect.id)]
        if effect.state != EffectState.CONFIRMED:
            _refused(effect, rows)
        elif effect.kind == "add_tag":
            _created(effect.result or {}, rows)
        else:
            _changed(rows)
    session().flush()
    bury_empty_groups()


def _rows(model: type[Any], effect_id: int) -> Sequence[Any]:
    found = select(model).where(model.effect_id == effect_id).order_by(model.id)
    return session().scalars(found.execution_options(populate_existing=True)).all()


def _refused(effect: Effect, rows: Sequence[Any]) -> None:
    if effect.errcode == UNKNOWN_TAG:
        want_refresh({EVERYTHING: RefreshKind.EVERYTHING})
        if effect.kind == "delete_tag":
            _changed(rows)
            return
    reason = effect.error or str(effect.state)
    for row in rows:
        row.failed = reason if effect.errcode is None else f"{effect.errcode}: {reason}"
        row.pending = None


def _created(result: Mapping[str, Any], rows: Sequence[Any]) -> None:
    """Take the ids that WeCom gave, by name; an id that another row has already is left to a fetch of the list."""
    group = result.get("tag_group") or {}
    ids = {tag["name"]: str(tag["id"]) for tag in group.get("tag", ())}
    given = {
        id(row): str(group["group_id"]) if isinstance(row, TagGroup) else ids.get(row.name) for row in rows
    }
    taken = _taken({wecom_id for wecom_id in given.values() if wecom_id}, rows)
    accepted = []
    for row in rows:
        wecom_id = given[id(row)]
        if row.wecom_id is None and (wecom_id is None or wecom_id in taken):
            row.failed = "WeCom's answer does not name it; the tag list is fetched again"
            want_refresh({EVERYTHING: RefreshKind.EVERYTHING})
            continue
        row.wecom_id, row.failed, row.confirmed_at = row.wecom_id or wecom_id, None, utcnow()
        if isinstance(row, Tag):
            accepted.append(row.id)
    publish(TagsAccepted(tuple(accepted)))


def _taken(wecom_ids: set[str], rows: Sequence[Any]) -> set[str]:
    mine = {row.wecom_id for row in rows}
    found: set[str] = set()
    for model in (TagGroup, Tag):
        known: Any = model
        found |= set(session().scalars(select(known.wecom_id).where(known.wecom_id.in_(wecom_ids))))
    return found - mine


def _changed(rows: Sequence[Any]) -> None:
    """What was asked for is so now."""
    now = utcnow()
    deleted: list[int] = []
    for row in rows:
        change, row.pending, row.failed, row.confirmed_at = row.pending or {}, None, None, now
        if change.get("deleted"):
            deleted += _delete(row)
        else:
            for key, value in change.items():
                setattr(row, key, value)
    publish(TagsDeleted(tuple(deleted)))


def _delete(row: Any) -> list[int]:
    now = utcnow()
    row.deleted_at = now
    if isinstance(row, Tag):
        return [row.id]
    tags = session().scalars(select(Tag).where(Tag.group_id == row.id, Tag.deleted_at.is_(None))).all()
    for tag in tags:
        tag.deleted_at, tag.pending, tag.confirmed_at = now, None, now
    return [tag.id for tag in tags]
