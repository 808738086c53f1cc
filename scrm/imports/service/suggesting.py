"""What the columns of a file likely mean, by their names and by what stands in them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from scrm.imports.service.targets.registry import Target, TargetField

MARKS = re.compile(r"[\s*＊:：_\-()（）\[\]【】]|必填|选填|required|optional", re.IGNORECASE)
SHAPES = {
    "identity:phone": re.compile(r"(?:\+?86[- ]?)?1[3-9]\d[- ]?\d{4}[- ]?\d{4}"),
    "identity:email": re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+"),
    "identity:external_userid": re.compile(r"w[mo][A-Za-z0-9_-]{30}"),
    "identity:unionid": re.compile(r"o[A-Za-z0-9_-]{27}"),
}
ENOUGH = 0.8  # of the samples have the shape


def suggest(
    target: Target,
    columns: Sequence[Mapping[str, Any]],
    constants: Mapping[str, Any],
    hidden: Collection[str] = (),
) -> list[dict[str, str]]:
    """``{"column", "to"}`` of the columns that are recognised, each field once (identities that may be several, several
    times).

    :param hidden: paths that are not suggested
    """
    fields = {path: one for path, one in target.fields(constants).items() if path not in hidden}
    names = _names(fields)
    taken: set[str] = set()
    found = []
    for column in columns:
        path = names.get(_plain(column["name"])) or _by_shape(fields, column["samples"])
        if path is not None and (path not in taken or fields[path].many):
            taken.add(path)
            found.append({"column": column["name"], "to": path})
    return found


def _names(fields: Mapping[str, TargetField]) -> dict[str, str]:
    """Path by header; where two fields have one name, the first listed."""
    names: dict[str, str] = {}
    for field in fields.values():
        for name in (field.zh, field.en, field.path, field.path.partition(":")[2], *field.also):
            names.setdefault(_plain(name), field.path)
    names.pop("", None)
    return names


def _plain(name: str) -> str:
    return MARKS.sub("", name).casefold()


def _by_shape(fields: Mapping[str, TargetField], samples: Sequence[str]) -> str | None:
    for path, shape in SHAPES.items():
        fitting = sum(1 for sample in samples if shape.fullmatch(sample.strip()))
        if path in fields and samples and fitting >= ENOUGH * len(samples):
            return path
    return None
