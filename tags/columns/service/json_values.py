"""Values of properties, as PostgreSQL writes JSON, as columns of DuckDB; and whether every one of them fits its column.

They mean what ``tags.rules.properties`` means by them: a text is a JSON text, a number a JSON number, and so on. What is
another kind of value, or does not fit exactly, has no column, and PostgreSQL is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scrm.behaviour.service.checking import PropertyType

_MOMENT = r'"([1-9]\d{3}-\d{2}-\d{2}T(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?)(?:Z|\+00:00)"'  # as stored


@dataclass(frozen=True)
class Column:
    """How a type of property becomes a column; ``{0}`` is the value as JSON, NULL where there is none.

    :param kind: DuckDB's type
    :param fits: whether a value that is neither NULL nor JSON's null is exactly that
    :param value: of one that fits
    """

    kind: str
    fits: str
    value: str


# Without a backslash the text stands between the quotes as it is.
_TEXT = r"CASE WHEN contains({0}, '\') THEN json_extract_string({0}, '$') ELSE {0}[2:-2] END"
_TIME = f"TRY_CAST(regexp_extract({{0}}, '{_MOMENT.replace('{', '{{').replace('}', '}}')}', 1) AS TIMESTAMP)"
# Thirteen digits before and four after the point fit, whatever zeros follow.
_NUMBER = Column(
    "DECIMAL(18,4)",
    r"regexp_full_match({0}, '-?\d{{1,13}}(\.\d{{1,4}}0*)?')",
    "TRY_CAST({0} AS DECIMAL(18,4))",
)
COLUMNS = {
    PropertyType.TEXT: Column("VARCHAR", "starts_with({0}, '\"')", _TEXT),
    PropertyType.NUMBER: _NUMBER,
    PropertyType.INTEGER: _NUMBER,
    PropertyType.BOOLEAN: Column("BOOLEAN", "{0} IN ('true', 'false')", "{0} = 'true'"),
    PropertyType.TIME: Column("TIMESTAMP", f"{_TIME} IS NOT NULL", _TIME),
}


def all_fit(kind: PropertyType, slot: str) -> str:
    """An aggregate: whether every value of a slot fits a column of this type."""
    return f"COALESCE(bool_and({slot} = 'null' OR {COLUMNS[kind].fits.format(slot)}), true)"


def value_of(kind: PropertyType, slot: str) -> str:
    """A slot's value in the column's type; NULL where there is none."""
    value = COLUMNS[kind].value.format(slot)
    return f"CAST(CASE WHEN {slot} <> 'null' THEN {value} END AS {COLUMNS[kind].kind})"


def property_columns(keys: Mapping[str, str]) -> dict[str, str]:
    """The columns of properties, key → type of property, with DuckDB's types."""
    return {f"p_{key}": COLUMNS[PropertyType(kind)].kind for key, kind in keys.items()}
