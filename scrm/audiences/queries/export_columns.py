"""What an export may show, and how much of it a key gets to read.

Phones, addresses of all kinds and ids of persons are masked without ``people:write``, as in the view of a person; a field
that needs a permission the key lacks shows only that there is a value. ``external_userid`` is WeCom's number of the
relation between corp and customer: it says nothing outside of the corp, and is what a list is brought back in by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from scrm.kernel.errors import InvalidInput
from scrm.kernel.permissions import Actor, Permission
from scrm.people.queries.fields import FieldSpec, FieldType, field_specs
from scrm.people.queries.people import MASKED_TYPES, masked, seen_specs

PERSON = "person."


class CellKind(StrEnum):
    """What the cells of a column hold."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    TIME = "time"


class Shown(StrEnum):
    """How much of a column a key gets."""

    PLAIN = "plain"
    MASKED = "masked"  # can be recognised and not read
    HIDDEN = "hidden"  # only that there is something


@dataclass(frozen=True)
class Column:
    """One column.

    :param private: masked without ``people:write``
    :param spec: of a field of persons
    """

    key: str
    zh: str
    en: str
    kind: CellKind = CellKind.TEXT
    private: bool = False
    spec: FieldSpec | None = None

    def title(self, language: str) -> str:
        """The header."""
        return self.zh if language == "zh" else self.en


OWN = (
    Column("customer_id", "编号", "id", CellKind.NUMBER),
    Column("external_userid", "external_userid", "external_userid"),
    Column("name", "昵称", "name"),
    Column("type", "类型", "type", CellKind.NUMBER),
    Column("gender", "性别", "gender", CellKind.NUMBER),
    Column("position", "职务", "position"),
    Column("corp_name", "企业简称", "company"),
    Column("corp_full_name", "企业全称", "full company name"),
    Column("unionid", "unionid", "unionid", private=True),
    Column("created_at", "建档时间", "known since", CellKind.TIME),
    Column("members", "跟进成员", "members"),
    Column("remarks", "备注", "remarks"),
    Column("remark_mobiles", "备注手机", "phones in remarks", private=True),
    Column("added_at", "添加时间", "added at", CellKind.TIME),
    Column("tags", "标签", "tags"),
)
KINDS = {FieldType.NUMBER: CellKind.NUMBER, FieldType.DATE: CellKind.DATE}
DEFAULT = ("external_userid", "name", "members", "tags")


def export_columns() -> dict[str, Column]:
    """Every column by its key: those of customers, then the fields of persons in their order."""
    fields = (
        Column(
            f"{PERSON}{spec.key}", spec.name_zh, spec.name_en, KINDS.get(spec.type, CellKind.TEXT),
            private=spec.type in MASKED_TYPES, spec=spec,
        )
        for spec in field_specs().values()
    )  # fmt: skip
    return {column.key: column for column in (*OWN, *fields)}


def chosen_columns(keys: Sequence[str]) -> list[Column]:
    """The columns of these keys, in their order.

    :raises InvalidInput: naming the first that does not exist
    """
    known = export_columns()
    for i, key in enumerate(keys):
        if key not in known:
            raise InvalidInput.field(f"columns.{i}", f"must be one of {', '.join(known)}")
    return [known[key] for key in keys]


def shown_to(columns: Sequence[Column], actor: Actor) -> dict[str, Shown]:
    """How much of each column an actor gets."""
    plain, seen = Permission.PEOPLE_WRITE in actor.permissions, seen_specs(actor)

    def shown(column: Column) -> Shown:
        if column.spec is not None and column.spec.key not in seen:
            return Shown.HIDDEN
        return Shown.MASKED if column.private and not plain else Shown.PLAIN

    return {column.key: shown(column) for column in columns}


def columns_for(actor: Actor) -> list[dict[str, Any]]:
    """Every column with its names and how an actor would get it."""
    columns = list(export_columns().values())
    shown = shown_to(columns, actor)
    return [
        {"key": c.key, "zh": c.zh, "en": c.en, "shown": shown[c.key], "default": c.key in DEFAULT}
        for c in columns
    ]


def veiled(text: str, shown: Shown) -> str:
    """A text as it may be shown."""
    if shown is Shown.HIDDEN:
        return "***"
    return masked(text) if shown is Shown.MASKED else text
