"""Contact ways, join ways of groups and group welcome templates: their own packages compare them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from scrm.acquisition.service.adoption import apply_ways_seen
from scrm.group_entry.service.reconciling import apply_join_ways_seen, apply_templates_seen
from scrm.kernel.counts import Seen
from scrm.sync.models import SyncPart, SyncRun
from scrm.sync.service import staging
from scrm.sync.service.applying.done import Done
from scrm.sync.service.tally import counted

Apply = Callable[[Sequence[dict[str, Any]], Sequence[str], datetime], Seen]
TAKERS: dict[str, Apply] = {
    "contact_ways": apply_ways_seen,
    "join_ways": apply_join_ways_seen,
    "group_templates": apply_templates_seen,
}


def compare(run: SyncRun, part: SyncPart) -> Done:
    """Note what WeCom says it does not know; each was asked for by its id."""
    gone = staging.items_of_part(part.id, f"{part.entity}_gone")
    staging.miss(part.id, part.entity, [(0, item.key) for item in gone])
    return Done()


def apply(run: SyncRun, part: SyncPart) -> Done:
    """Hand what was shown to the package that owns it."""
    items = staging.items_of_part(part.id, part.entity)
    if not items or part.started_at is None:
        return Done()
    return Done({part.entity: _counts(TAKERS[part.entity]([i.body for i in items], (), part.started_at))})


def close(run: SyncRun, part: SyncPart, keys: list[str]) -> Done:
    """Tell the package that owns them what is gone."""
    if part.started_at is None:
        return Done()
    seen = TAKERS[part.entity]((), keys, part.started_at)
    return Done({part.entity: counted(gone=seen.gone, gone_ids=keys)})


def _counts(seen: Seen) -> dict[str, Any]:
    return counted(seen=seen.seen, new=seen.new, changed=seen.changed)
