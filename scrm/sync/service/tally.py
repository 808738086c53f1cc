"""Counts of a run by entity: what WeCom showed and what differed, with some ids to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SAMPLES = 10
COUNTS = ("seen", "new", "changed", "gone")
Counts = dict[str, Any]
"""``{"seen", "new", "changed", "gone", "fields": {column: rows}, "samples": {"new"|"changed"|"gone": [ids]}}``"""
Tally = dict[str, Counts]
"""Counts by entity."""


def counted(
    *,
    seen: int = 0,
    new: int = 0,
    changed: int = 0,
    gone: int = 0,
    fields: Mapping[str, int] | None = None,
    **samples: Sequence[Any],
) -> Counts:
    """Counts of one entity; samples are ids of ours, or WeCom's where we have none: ``new=``, ``changed=``, ``gone=``.

    :param samples: named ``new_ids``, ``changed_ids``, ``gone_ids``
    """
    shown = {name.removesuffix("_ids"): list(ids)[:SAMPLES] for name, ids in samples.items() if ids}
    return {
        "seen": seen, "new": new, "changed": changed, "gone": gone,
        "fields": dict(fields or {}), "samples": shown,
    }  # fmt: skip


def merged(one: Mapping[str, Counts], other: Mapping[str, Counts]) -> Tally:
    """Both together."""
    return {name: _sum(one.get(name) or counted(), other.get(name) or counted()) for name in {**one, **other}}


def _sum(a: Counts, b: Counts) -> Counts:
    fields = {
        name: a["fields"].get(name, 0) + b["fields"].get(name, 0) for name in {**a["fields"], **b["fields"]}
    }
    samples = {
        name: [*a["samples"].get(name, []), *b["samples"].get(name, [])][:SAMPLES]
        for name in {**a["samples"], **b["samples"]}
    }
    return {**{name: a[name] + b[name] for name in COUNTS}, "fields": fields, "samples": samples}
