"""What one version of a rule changed against the one before, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import select

from scrm.kernel.db import session
from tags.arrays import is_one_of
from tags.models import RuleVersion, Tag
from tags.rules.leaves import enumerated
from tags.rules.queries.veiling import Reader

Told = dict[str, list[str]]
TAGS = {
    "add_tag_ids": (("不再加", "再加"), ("no longer adds", "also adds")),
    "remove_tag_ids": (("不再去掉", "再去掉"), ("no longer takes away", "also takes away")),
}


def with_changes(versions: Sequence[RuleVersion], reader: Reader) -> list[dict[str, Any]]:
    """Versions, oldest first, each with ``changes`` ``{"zh": [...], "en": [...]}``; the first has none.

    :param reader: whose reading of the conditions is told
    """
    ids = {id_ for v in versions for id_ in (*v.add_tag_ids, *v.remove_tag_ids)}
    found = session().execute(select(Tag.id, Tag.name).where(is_one_of(Tag.id, ids)))
    names = {row.id: row.name for row in found}
    told: list[Told] = [{"zh": [], "en": []}]
    told += [_changes(old, new, names, reader) for old, new in pairwise(versions)]
    return [
        {
            **{c.key: getattr(v, c.key) for c in v.__table__.columns},
            "condition": reader.condition(v.condition),
            "changes": change,
        }
        for v, change in zip(versions, told, strict=True)
    ]


def _changes(old: RuleVersion, new: RuleVersion, names: Mapping[int, str], reader: Reader) -> Told:
    told: Told = {"zh": [], "en": []}
    if old.condition != new.condition:
        before, after = reader.sentence(old.condition), reader.sentence(new.condition)
        told["zh"].append(f"条件由「{before['zh']}」改为「{after['zh']}」")
        told["en"].append(f"condition: {before['en']} → {after['en']}")
    for field in TAGS:
        _tag_changes(told, field, (set(getattr(old, field)), set(getattr(new, field))), names)
    if old.keep != new.keep:
        told["zh"].append("条件不再成立时保留标签" if new.keep else "条件不再成立时去掉标签")
        told["en"].append("keeps tags" if new.keep else "takes tags away when it no longer holds")
    if old.expire_after_days != new.expire_after_days:
        days = new.expire_after_days
        told["zh"].append(f"{days}天后去掉标签" if days else "标签不再过期")
        told["en"].append(f"takes tags away {days} days after" if days else "tags no longer expire")
    return told


def _tag_changes(told: Told, field: str, sets: tuple[set[int], set[int]], names: Mapping[int, str]) -> None:
    before, after = sets
    for place, ids in enumerate((before - after, after - before)):
        if ids:
            tags = [names.get(id_, f"#{id_}") for id_ in sorted(ids)]
            zh, en = TAGS[field]
            told["zh"].append(f"{zh[place]}：{enumerated(tags, 'zh')}")
            told["en"].append(f"{en[place]} {enumerated(tags, 'en')}")
