"""Targets whose service says itself what is new: what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from scrm.imports.service.targets.registry import Found
from scrm.kernel.batch import Batch, RowStatus

STATUSES = {
    RowStatus.CREATED.value: "new",
    RowStatus.UPDATED.value: "changed",
    RowStatus.UNCHANGED.value: "unchanged",
}


def found_by_status(
    batch: Batch, changes_of: Callable[[str], Iterable[dict[str, Any]]]
) -> list[Found | None]:
    """What the service answered, with the differences of changed records.

    :param changes_of: differences of the record with this source_id
    """
    found: list[Found | None] = []
    for given, result in zip(batch.rows, batch.results, strict=True):
        status = STATUSES.get(result["status"])
        if status is None:
            found.append(None)
            continue
        changes = list(changes_of(given["source_id"])) if status == "changed" else []
        found.append(Found(status, given["source_id"], changes))
    return found


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], names: Iterable[str]
) -> list[dict[str, Any]]:
    """Those of some columns that differ."""
    return [
        {"field": name, "before": before.get(name), "after": after.get(name)}
        for name in names
        if before.get(name) != after.get(name)
    ]
