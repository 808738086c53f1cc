"""What a leaf of a condition is, and which kinds there are.

A kind is one module in ``tags/rules/conditions/`` with a constant ``LEAF``; putting the file there registers it. A package
further up contributes one through :mod:`tags.rules.registry`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

from marshmallow import Schema, ValidationError, fields
from marshmallow.validate import Length, Range
from sqlalchemy import ColumnElement, Select

from scrm.kernel.permissions import Scope
from tags.rules import conditions
from tags.rules.copies import Copied

Args = Mapping[str, Any]
Names = Mapping[tuple[str, int | str], str]
Language = Literal["zh", "en"]

EVERYTHING = "*"  # the fact that wakes every rule: somebody new follows the customer
MAX_IDS = 200
MAX_ID = 2**63 - 1


@dataclass(frozen=True)
class Leaf:
    """One kind of leaf.

    :param kind: its name in a tree, ``{"kind": kind, ...}``
    :param schema: its arguments (marshmallow; unknown fields refused)
    :param reads: arguments → facts whose change can change the answer (``follows``, ``tag:5``, ``group:2``, …)
    :param clause: arguments, now → predicate correlated on ``customers``; never NULL. Cheap for a few customers
    :param words: arguments, language, names of referenced rows → the condition as people say it
    :param refers: path of an argument that holds ids, such as ``then.event_type_id`` → table where they must exist
    :param expires: for answers that change by time alone: arguments, from, to → ids of customers whose answer may
        have changed in between; None: not with these arguments
    :param over_all: the same predicate as a set that is worked out once, for questions about everybody; None: ``clause``
        serves both
    :param in_order: an index gives the rows of ``over_all`` in the order of persons: grouping them as they come is quicker
        than hashing, and takes no memory
    :param in_columns: arguments, now, copied rows → ``over_all`` as a predicate over :data:`tags.rules.copies.PERSON`, for a
        question about everybody that the copy in columns can answer (else it raises NotCopied)
    :param check: arguments → problems that only the database knows, path of the argument → what would be right
    :param value: arguments, now → what it looks at for a customer, as an expression correlated on ``customers`` that is
        kept with the reasons of a tag; NULL: nothing there; never the text of messages. None: its answer says it all
    :param own_value: arguments, now, scope → the same where it comes from relations, from those inside a data scope alone;
        None: it does not come from relations
    :param variants: the arguments as JSON Schema objects, one of which must fit, where the marshmallow schema alone
        does not tell which arguments belong together
    """

    kind: str
    schema: type[Schema]
    reads: Callable[[Args], set[str]]
    clause: Callable[[Args, datetime], ColumnElement[bool]]
    words: Callable[[Args, Language, Names], str]
    refers: Mapping[str, str] = field(default_factory=dict)
    expires: Callable[[Args, datetime, datetime], Select[Any] | None] | None = None
    over_all: Callable[[Args, datetime], ColumnElement[bool]] | None = None
    in_order: bool = False
    in_columns: Callable[[Args, datetime, Copied], ColumnElement[bool]] | None = None
    check: Callable[[Args], Mapping[str, str]] | None = None
    variants: Callable[[], list[dict[str, Any]]] | None = None
    value: Callable[[Args, datetime], ColumnElement[Any]] | None = None
    own_value: Callable[[Args, datetime, Scope], ColumnElement[Any] | None] | None = None


CONTRIBUTED: dict[str, Leaf] = {}  # by packages further up, see tags.rules.registry


@lru_cache(maxsize=1)
def leaves() -> dict[str, Leaf]:
    """Every kind of leaf by its name."""
    names = sorted(found.name for found in pkgutil.iter_modules(conditions.__path__))
    found = [importlib.import_module(f"{conditions.__name__}.{name}").LEAF for name in names]
    return {leaf.kind: leaf for leaf in found} | CONTRIBUTED


def reads_always(*facts: str) -> Callable[[Args], set[str]]:
    """The ``reads`` of a leaf that looks at the same facts whatever its arguments are."""
    return lambda _args: set(facts)


class FlagField(fields.Boolean):
    """True or false, and nothing that only looks like them."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool):
            raise ValidationError("must be true or false")
        return value


class NumberField(fields.Float):
    """A number, and no text that could be read as one."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValidationError("must be a number")
        return super()._deserialize(value, attr, data, **kwargs)


def id_field(**kwargs: Any) -> fields.Integer:
    """The id of a row."""
    return fields.Integer(strict=True, validate=Range(1, MAX_ID), **kwargs)


def ids_field(**kwargs: Any) -> fields.List[Any]:
    """A list of 1 to 200 ids of rows."""
    return fields.List(id_field(), validate=Length(1, MAX_IDS), **kwargs)


def texts_field(length: int = 200, **kwargs: Any) -> fields.List[Any]:
    """A list of 1 to 200 texts."""
    text = fields.String(validate=[Length(1, length), plain_text])
    return fields.List(text, validate=Length(1, MAX_IDS), **kwargs)


def called(table: str, id_: int | str, names: Names, language: Language = "zh") -> str:
    """A row by its name in the language, where it has one, and by number where it has none: ``#7``."""
    return names.get((f"{table}/{language}", id_)) or names.get((table, id_)) or f"#{id_}"


def listed(ids: Sequence[int], table: str, names: Names, language: Language) -> str:
    """Rows by their names, and by number where they have none: ``VIP、#7``, ``VIP, #7``."""
    return enumerated([called(table, id_, names, language) for id_ in ids], language)


def enumerated(texts: Iterable[str], language: Language) -> str:
    """Texts one after the other, as the language writes it."""
    return ("、" if language == "zh" else ", ").join(texts)


def any_quoted(texts: Sequence[str], language: Language) -> str:
    """Texts in corner quotes of which one suffices: ``「a」或「b」``, ``「a」 or 「b」``."""
    return ("或" if language == "zh" else " or ").join(f"「{text}」" for text in texts)


def plain_text(value: str) -> None:
    """Refuse the character that PostgreSQL cannot hold in a text.

    :raises ValidationError: when ``value`` holds a NUL character
    """
    if "\0" in value:
        raise ValidationError("must not hold a NUL character")
