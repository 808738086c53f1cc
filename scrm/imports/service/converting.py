"""From a cell to what a field takes: text, numbers and times as people write them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, tzinfo
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from scrm.kernel.sheets.cells import Cell


class Kind(StrEnum):
    """What a field takes."""

    TEXT = "text"
    NUMBER = "number"
    INTEGER = "integer"
    AMOUNT = "amount"  # an exact decimal
    DAY = "day"
    MOMENT = "moment"
    TRUTH = "truth"
    CHOICE = "choice"
    LIST = "list"  # several texts in one cell, separated by , ; or 、


@dataclass(frozen=True)
class Reading:
    """How the cells of one column are read.

    :param kind: what the field takes
    :param labels: values by what people write instead of them (small letters), such as 男 for male
    :param date_format: how days and times are written (strptime); without, unmistakable forms are understood
    :param decimal_comma: 1.234,50 is 1234.50
    :param zone: of times that say none
    """

    kind: Kind
    labels: Mapping[str, str] = field(default_factory=dict)
    date_format: str | None = None
    decimal_comma: bool = False
    zone: tzinfo | None = None


MOST_DIGITS = 40  # before or after the point: what 1e99999999 would take is no number that anybody means
SHORTENED = re.compile(r"\d(?:\.\d+)?E\+\d+", re.IGNORECASE)
MONEY_SIGNS = re.compile(r"[¥￥$€£\s元]")
SEPARATORS = re.compile(r"[,，;；、|]")
DAY = re.compile(r"(\d{4})(?:[-/.]|年)(\d{1,2})(?:[-/.]|月)(\d{1,2})日?|(\d{4})(\d{2})(\d{2})")
CLOCK = re.compile(r"[T ]?\s*(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?")
YES, NO = {"是", "yes", "y", "true", "1", "有", "on", "√"}, {"否", "no", "n", "false", "0", "无", "off", "×"}
LOST_DIGITS = "is a number of which Excel has kept 15 digits only; format the column as text before typing or pasting it"


def convert(cell: Cell, how: Reading) -> Any:
    """What the field takes; None for an empty cell.

    :raises ValueError: saying what would be right
    """
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    if how.labels and how.kind is not Kind.LIST:
        said = how.labels.get(_text(cell, how).casefold())
        if said is not None:
            cell = said
    return CONVERTERS[how.kind](cell, how)


def _text(cell: Cell, how: Reading) -> str:
    """Text as people see it: a phone that is a number has no ``.0``."""
    if isinstance(cell, float):
        raise ValueError(LOST_DIGITS)  # noqa: TRY004  # what the file says is wrong, not the program
    if isinstance(cell, str):
        if SHORTENED.fullmatch(cell.strip()):
            raise ValueError(f"was shortened by Excel ({cell.strip()}); save the file as XLSX instead of CSV")
        return cell.strip()
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, datetime):
        return cell.isoformat(" ", "seconds")
    return f"{cell:f}" if isinstance(cell, Decimal) else str(cell)


def _decimal(cell: Cell, how: Reading) -> Decimal:
    if isinstance(cell, bool | date | time):
        raise ValueError("must be a number")  # noqa: TRY004  # as above
    if isinstance(cell, int | Decimal):
        return Decimal(cell)
    text = MONEY_SIGNS.sub("", _text(cell, how))
    text = text.replace(".", "").replace(",", ".") if how.decimal_comma else text.replace(",", "")
    try:
        found = Decimal(text if "_" not in text else "NaN")  # Python's own way of writing numbers
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or abs(found.adjusted()) > MOST_DIGITS:
        shown = "1.234,50" if how.decimal_comma else "1,234.50"
        raise ValueError(f"must be a number such as {shown}")
    return found


def _number(cell: Cell, how: Reading) -> int | float:
    found = _decimal(cell, how)
    return int(found) if found == found.to_integral_value() else float(found)


def _integer(cell: Cell, how: Reading) -> int:
    found = _decimal(cell, how)
    if found != found.to_integral_value():
        raise ValueError("must be a whole number")
    return int(found)


def _amount(cell: Cell, how: Reading) -> str:
    return f"{_decimal(cell, how):f}"


def _wall(cell: Cell, how: Reading) -> tuple[date, time | None]:
    """The day and, where one is written, the time of day."""
    if isinstance(cell, datetime):
        return cell.date(), cell.time()
    if isinstance(cell, date):
        return cell, None
    if isinstance(cell, int | Decimal | time) and not how.date_format and len(str(cell)) != len("20240131"):
        raise ValueError("must be a day such as 2024-01-31; format the column as a date")
    text = _text(cell, how)
    return _by_format(text, how.date_format) if how.date_format else _unmistakable(text)


def _by_format(text: str, form: str) -> tuple[date, time | None]:
    try:
        found = datetime.strptime(text, form)  # noqa: DTZ007  # wall clock; the zone is applied by who asked
    except ValueError:
        raise ValueError(f"must be written as {form}") from None
    return found.date(), found.time() if "%H" in form or "%I" in form else None


def _unmistakable(text: str) -> tuple[date, time | None]:
    day = DAY.match(text)
    try:
        if day is None:
            raise ValueError
        year, month, number = (int(part) for part in day.groups() if part)
        rest = text[day.end() :].strip()
        clock = CLOCK.fullmatch(rest)
        if rest and clock is None:
            raise ValueError
        parts = [int(part or 0) for part in clock.groups()] if clock else []
        at = time(parts[0], parts[1], parts[2]) if parts else None
        return date(year, month, number), at
    except ValueError:
        raise ValueError(
            "must be a day such as 2024-01-31 or 2024年1月31日, with a time such as 13:05 if it has one; "
            "for other forms say date_format in the mapping"
        ) from None


def _day(cell: Cell, how: Reading) -> str:
    return _wall(cell, how)[0].isoformat()


def _moment(cell: Cell, how: Reading) -> str:
    """A time with its offset; one that says none is of the corp's zone, a day alone begins at midnight."""
    if isinstance(cell, str) and not how.date_format:
        given = _with_offset(cell.strip())
        if given is not None:
            return given.isoformat()
    day, clock = _wall(cell, how)
    return datetime.combine(day, clock or time(), how.zone).isoformat()


def _with_offset(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


def _truth(cell: Cell, how: Reading) -> bool:
    if isinstance(cell, bool):
        return cell
    said = _text(cell, how).casefold()
    if said not in YES | NO:
        raise ValueError("must be 是 or 否, yes or no")
    return said in YES


def _list(cell: Cell, how: Reading) -> list[str]:
    parts = [part.strip() for part in SEPARATORS.split(_text(cell, how))]
    return [how.labels.get(part.casefold(), part) for part in parts if part]


CONVERTERS: dict[Kind, Callable[[Cell, Reading], Any]] = {
    Kind.TEXT: _text,
    Kind.NUMBER: _number,
    Kind.INTEGER: _integer,
    Kind.AMOUNT: _amount,
    Kind.DAY: _day,
    Kind.MOMENT: _moment,
    Kind.TRUTH: _truth,
    Kind.CHOICE: _text,
    Kind.LIST: _list,
}
