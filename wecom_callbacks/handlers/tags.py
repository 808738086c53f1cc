"""Enterprise tags and tag groups changed in WeCom (wecom-api.md section 3.3)."""

from __future__ import annotations

from tags.catalog.service.refreshing import EVERYTHING, want_refresh
from tags.models import RefreshKind
from wecom_callbacks.reasons import Ignored
from wecom_callbacks.registry import Batch, Callback, Reasons, handles, ignoring, text

EVENT = "change_external_tag"


def tag_changes(batch: Batch) -> Reasons:
    """Say what must be fetched again; tags of rule groups (strategies) are not ours."""
    ours = sorted((one for one in batch if not _is_of_rule_group(one)), key=lambda one: one.event_at)
    want_refresh(
        {_id(one): _kind(one) for one in ours},
        gone={_id(one) for one in ours if one.change_type == "delete"},
        told_at={_id(one): one.event_at for one in ours},
    )
    return ignoring(batch, ours, Ignored.RULE_GROUP_TAG)


for _change in ("create", "update", "delete", "shuffle"):
    handles(EVENT, _change)(tag_changes)


def _is_of_rule_group(callback: Callback) -> bool:
    """StrategyId is there for rule groups only; the ids of their tags begin with ``st``."""
    return text(callback.fields.get("StrategyId")) not in {None, "0"} or _id(callback).startswith("st")


def _id(callback: Callback) -> str:
    return text(callback.fields.get("Id")) or EVERYTHING


def _kind(callback: Callback) -> RefreshKind:
    """A shuffle names the group whose tags were reordered, or nothing when the groups themselves were."""
    if not _id(callback):
        return RefreshKind.EVERYTHING
    if callback.change_type == "shuffle" or callback.fields.get("TagType") == "tag_group":
        return RefreshKind.GROUP
    return RefreshKind.TAG
