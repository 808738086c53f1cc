"""The fields that are kept of people: the built-in ones and the company's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import select

from scrm.kernel.db import session
from scrm.kernel.settings import settings
from scrm.people.models import CustomField


class FieldType(StrEnum):
    """What a value of a field looks like."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"  # YYYY-MM-DD
    CHOICE = "choice"
    MULTI_CHOICE = "multi_choice"  # a list without repetitions, in the order of the choices
    PHONE = "phone"  # E.164
    EMAIL = "email"
    ADDRESS = "address"  # {"country", "province", "city", "district", "street", "postcode"}, each optional
    FILE = "file"  # id of the media library


class Survivorship(StrEnum):
    """Which of several values stands."""

    NEWEST = "newest"
    TRUSTED = "trusted"  # of the most trusted source, then the newest
    FREQUENT = "frequent"  # the one that was said most often, then the newest


@dataclass(frozen=True)
class FieldSpec:
    """One field, built in or the company's own; see :class:`scrm.people.models.CustomField`.

    :param choices: ``{"value", "zh", "en"}`` each
    :param limits: ``min``, ``max`` (number, date), ``max_length``, ``pattern`` (text)
    :param seen_with: permissions of which one is needed to see it; empty: everybody who reads people
    """

    key: str
    type: FieldType
    name_zh: str
    name_en: str
    choices: tuple[dict[str, str], ...] = ()
    limits: dict[str, Any] = field(default_factory=dict)
    required: bool = False
    position: int = 0
    survivorship: Survivorship = Survivorship.NEWEST
    trusted: tuple[str, ...] = ()
    seen_with: tuple[str, ...] = ()
    written_with: tuple[str, ...] = ()
    built_in: bool = False
    archived: bool = False


GENDERS = (
    {"value": "male", "zh": "男", "en": "male"},
    {"value": "female", "zh": "女", "en": "female"},
    {"value": "other", "zh": "其他", "en": "other"},
)
BUILT_IN = (
    FieldSpec("name", FieldType.TEXT, "姓名", "name", limits={"max_length": 100}, position=-70,
              survivorship=Survivorship.TRUSTED, built_in=True),
    FieldSpec("birthday", FieldType.DATE, "生日", "birthday", limits={"min": "1900-01-01", "max": "today"}, position=-60,
              survivorship=Survivorship.FREQUENT, built_in=True),
    FieldSpec("gender", FieldType.CHOICE, "性别", "gender", choices=GENDERS, position=-50,
              survivorship=Survivorship.FREQUENT, built_in=True),
    FieldSpec("phone", FieldType.PHONE, "手机", "phone", position=-40, built_in=True),
    FieldSpec("email", FieldType.EMAIL, "邮箱", "e-mail", position=-30, built_in=True),
    FieldSpec("address", FieldType.ADDRESS, "地址", "address", position=-20, built_in=True),
    FieldSpec("company", FieldType.TEXT, "公司", "company", limits={"max_length": 200}, position=-10,
              built_in=True),
)  # fmt: skip
BUILT_IN_KEYS = frozenset(spec.key for spec in BUILT_IN)


def field_specs(*, archived: bool = False) -> dict[str, FieldSpec]:
    """Every field by key, in the order they are shown."""
    rows = session().scalars(select(CustomField))
    own = [spec_of(row) for row in rows if archived or row.archived_at is None]
    return {spec.key: spec for spec in sorted([*BUILT_IN, *own], key=lambda s: (s.position, s.key))}


def spec_of(row: CustomField) -> FieldSpec:
    """A field as it stands in the table."""
    return FieldSpec(
        row.key, FieldType(row.type), row.name_zh, row.name_en, choices=tuple(row.choices), limits=row.limits,
        required=row.required, position=row.position, survivorship=Survivorship(row.survivorship),
        trusted=tuple(row.trusted), seen_with=tuple(row.seen_with), written_with=tuple(row.written_with),
        archived=row.archived_at is not None,
    )  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """How the standing value of a field is chosen."""

    field: str
    rule: Survivorship
    trusted: tuple[str, ...]


def field_rules(keys: Sequence[str] | None = None) -> list[Rule]:
    """The rules of these fields (of all without), with the order of trust in force."""
    trusted = settings().people.trusted_sources
    specs = field_specs(archived=True).values()
    return [
        Rule(spec.key, spec.survivorship, spec.trusted or trusted)
        for spec in specs
        if keys is None or spec.key in keys
    ]
