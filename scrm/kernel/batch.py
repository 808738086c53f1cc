"""Batches that other systems send: up to a thousand rows, each answered by itself.

Rows are checked by plain functions put together once per shape (docs/adr/0013): a tenth of what a marshmallow schema costs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

import orjson

from scrm.kernel.clock import utcnow
from scrm.kernel.errors import InvalidInput
from scrm.kernel.storable import BIGGEST, problems_within, text_problem

MOST_ROWS = 1000
SOURCE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
OLDEST = datetime(1970, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)  # clocks of tills are wrong by hours, not by days
MOST_CHARS = 2000
EXACT = Decimal(10) ** 14  # numeric(18, 4)
DECIMAL = re.compile(
    r"[0-9]{1,40}(?:\.[0-9]{1,40})?"
)  # no signs, spaces, exponents, or digits of other scripts
Checker = Callable[[Any], Any]
"""Gives the value as it is stored; raises ValueError saying what would be right, or RowProblem for parts of it."""


class RowStatus(StrEnum):
    """What became of one row."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class RowProblem(Exception):  # noqa: N818  # reads as a statement where it is raised
    """A row is refused; ``fields`` names what would be right, by path."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{path}: {problem}" for path, problem in fields.items()))
        self.fields = dict(fields)

    def under(self, name: str) -> dict[str, str]:
        """The same problems, seen from the object that holds this one as ``name``."""
        return {f"{name}.{path}" if path else name: problem for path, problem in self.fields.items()}


@dataclass(slots=True)
class Batch:
    """Rows of one source; ``results`` gets one entry per row."""

    source: str
    rows: list[Any]
    results: list[dict[str, Any]] = field(default_factory=list)

    def read(self, shape: Checker) -> list[tuple[int, dict[str, Any]]]:
        """(index, checked row) of the rows that are right; the others are marked refused."""
        self.results = [{"index": index} for index in range(len(self.rows))]
        good = []
        for index, row in enumerate(self.rows):
            try:
                good.append((index, shape(row)))
            except RowProblem as problem:
                self.refuse(index, problem.fields)
        return good

    def refuse(self, index: int, fields: Mapping[str, str]) -> None:
        """Mark one row as refused."""
        self.results[index] |= {
            "status": RowStatus.REFUSED.value,
            "problem": {k or "row": v for k, v in fields.items()},
        }

    def answer(self) -> dict[str, Any]:
        """What the caller reads: how many rows ended how, and each row's result in order."""
        counts = dict.fromkeys(map(str, RowStatus), 0)
        for result in self.results:
            counts[result["status"]] += 1
        return {**counts, "results": self.results}


def read_batch(body: bytes, name: str, source: str | None = None) -> Batch:
    """``{"source": "mall", "<name>": [rows]}``.

    :param source: who signed the body; it may then leave the source out, and name no other

    :raises InvalidInput: no JSON, more than MOST_ROWS rows, a source that is no name, or unknown fields
    """
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput.field("body", f"is no JSON: {error.msg} at character {error.pos}") from None
    if not isinstance(given, dict):
        raise InvalidInput.field("body", f'must be an object: {{"source": "mall", "{name}": [...]}}')
    if strangers := given.keys() - {"source", name}:
        raise InvalidInput.field(min(strangers), f"is unknown; a batch has source and {name}")
    rows = given.get(name)
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_ROWS:
        raise InvalidInput.field(name, f"must be a list of 1 to {MOST_ROWS} rows")
    named = source_name(given.get("source", source))
    if source not in (None, named):
        raise InvalidInput.field("source", f"must be {source}, whose signature this is")
    return Batch(named, rows)


def source_name(given: Any) -> str:
    """The name of a system that sends; raises InvalidInput when it is none."""
    if not isinstance(given, str) or not SOURCE.fullmatch(given):
        raise InvalidInput.field(
            "source", "must be a name of small letters, digits, '.', '_' or '-', at most 64 characters"
        )
    return given


class Shape:
    """Checks an object: every given field by its checker, none unknown, none missing.

    :param fields: checker by name
    :param required: names that must be there and not null
    :param keep_unknown: take unknown fields as they are, if they can be stored, instead of refusing them
    """

    __slots__ = ("fields", "keep_unknown", "required")

    def __init__(
        self, fields: Mapping[str, Checker], required: tuple[str, ...] = (), *, keep_unknown: bool = False
    ) -> None:
        self.fields, self.required, self.keep_unknown = dict(fields), required, keep_unknown

    def __call__(self, given: Any) -> dict[str, Any]:
        """The checked object; null fields are left out. Raises RowProblem with every problem found."""
        if type(given) is not dict:
            raise RowProblem({"": "must be an object"})
        found: dict[str, Any] = {}
        checkers = self.fields
        try:  # nearly every row is right: what is wrong with one is found out by checking it again
            for name, value in given.items():
                check = checkers[name]
                if value is not None:
                    found[name] = check(value)
            if all(name in found for name in self.required):
                return found
        except (KeyError, ValueError, RowProblem):
            pass
        return self._explained(given)

    def _explained(self, given: dict[str, Any]) -> dict[str, Any]:
        """The same for an object with unknown fields or problems: all of them are named."""
        found: dict[str, Any] = {}
        problems: dict[str, str] = {}
        for name, value in given.items():
            try:
                self._check(name, value, found)
            except ValueError as problem:
                problems[name] = str(problem)
            except RowProblem as problem:
                problems |= problem.under(name)
        named = {path.partition(".")[0] for path in problems}
        problems |= {name: "is missing" for name in self.required if name not in found and name not in named}
        if problems:
            raise RowProblem(problems)
        return found

    def _check(self, name: str, value: Any, found: dict[str, Any]) -> None:
        check = self.fields.get(name)
        if check is None:
            found[name] = self._unknown(name, value)
        elif value is not None:
            found[name] = check(value)

    def _unknown(self, name: str, value: Any) -> Any:
        if not self.keep_unknown:
            raise ValueError("is unknown; known are " + ", ".join(self.fields))
        for path, problem in problems_within({name: value}):
            raise RowProblem({path.partition(".")[2]: problem})
        return value


def items_of(check: Checker, *, most: int, least: int = 0) -> Checker:
    """A list whose items one checker checks."""

    def check_list(given: Any) -> list[Any]:
        if type(given) is not list or not least <= len(given) <= most:
            raise ValueError(f"must be a list of {least} to {most}")
        found, problems = [], {}
        for index, value in enumerate(given):
            try:
                found.append(check(value))
            except ValueError as problem:
                problems[str(index)] = str(problem)
            except RowProblem as problem:
                problems |= problem.under(str(index))
        if problems:
            raise RowProblem(problems)
        return found

    return check_list


def text_of(most: int = MOST_CHARS) -> Checker:
    """Text of 1 to ``most`` characters that the database can hold."""

    def check_text(given: Any) -> str:
        if type(given) is not str or not 1 <= len(given) <= most:
            raise ValueError(f"must be text of 1 to {most} characters")
        if not given.isascii() or "\0" in given:
            problem = text_problem(given)
            if problem:
                raise ValueError(problem)
        return given

    return check_text


def moment(given: Any) -> datetime:
    """A time in ISO 8601 with its offset, not before 1970 and not in the future."""
    found = any_moment(given)
    if not OLDEST <= found <= utcnow() + AHEAD:
        raise ValueError("must lie between 1970 and now")
    return found


def any_moment(given: Any) -> datetime:
    """A time in ISO 8601 with its offset, such as 2026-11-22T08:00:00+08:00, in UTC."""
    try:
        found = datetime.fromisoformat(given)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError("must be a time with its offset such as 2026-11-22T08:00:00+08:00")


def number(given: Any) -> int | float:
    """A JSON number."""
    if type(given) is float and math.isfinite(given):
        return given
    return whole(given, "must be a number")


def whole(given: Any, problem: str = "must be a whole number") -> int:
    """A whole number of at most 64 bits."""
    if type(given) is not int or not -BIGGEST <= given <= BIGGEST:
        raise ValueError(problem)
    return given


def truth(given: Any) -> bool:
    """``true`` or ``false``."""
    if type(given) is not bool:
        raise ValueError("must be true or false")
    return given


def exact(given: Any) -> Decimal:
    """An exact decimal, as text or number, not negative, with at most four places; text keeps every digit."""
    if type(given) in (int, float) or (type(given) is str and DECIMAL.fullmatch(given)):
        found = Decimal(str(given))
        if found.is_finite() and 0 <= found < EXACT and found == found.quantize(Decimal("0.0001")):
            return found.quantize(Decimal("0.0001"))
    raise ValueError('must be an amount such as "19.90", not negative, with at most four decimals')


def choice_of(kind: type[StrEnum]) -> Checker:
    """A member of an enumeration, by its value."""
    values = {str(member): member for member in kind}

    def check_choice(given: Any) -> StrEnum:
        if not isinstance(given, str) or given not in values:
            raise ValueError("must be one of " + ", ".join(values))
        return values[given]

    return check_choice


def free_object(given: Any) -> dict[str, Any]:
    """Any object that can be stored."""
    if type(given) is not dict:
        raise ValueError("must be an object")
    problems = dict(problems_within(given))
    if problems:
        raise RowProblem(problems)
    return given
