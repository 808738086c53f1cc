"""Enterprise tags and tag groups changed in WeCom (wecom-api.md section 3.3)."""

from __future__ import annotations

from tags.catalog.service.refreshing import EVERYTHING, want_refresh
from tags.models import RefreshKind
from wecom_callbacks.registry import Callback, handles

EVENT = "change_external_tag"


def tag_changes(batch: list[Callback]) -> None:
    """Say what must be fetched again; tags of rule groups (strategies) are not ours."""
    ours = [callback for callback in batch if not _strategy(callback)]
    kinds = {_id(callback): _kind(callback) for callback in ours}
    want_refresh(kinds, gone={_id(callback) for callback in ours if callback.change_type == "delete"})


for _change in ("create", "update", "delete", "shuffle"):
    handles(EVENT, _change)(tag_changes)


def _strategy(callback: Callback) -> bool:
    """StrategyId is there for rule groups only; the ids of their tags begin with ``st``."""
    return bool(callback.fields.get("StrategyId")) or _id(callback).startswith("st")


def _id(callback: Callback) -> str:
    value = callback.fields.get("Id")
    return value if isinstance(value, str) else EVERYTHING


def _kind(callback: Callback) -> RefreshKind:
    """A shuffle names the group whose tags were reordered, or nothing when the groups themselves were."""
    if not _id(callback):
        return RefreshKind.EVERYTHING
    if callback.change_type == "shuffle" or callback.fields.get("TagType") == "tag_group":
        return RefreshKind.GROUP
    return RefreshKind.TAG
