"""What a leaf asks of the copy in columns (tags/columns): the same rows, with a typed column for each property.

A leaf says its question once more over these rows, with the same comparisons, measures and windows. Whatever the copy has
not, or would compare otherwise than PostgreSQL, is :class:`NotCopied`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import BigInteger, Join, column, table
from sqlalchemy.ext.compiler import compiles

Edges = tuple[datetime | None, datetime | None]
PEOPLE = table("people", column("person_id", BigInteger), column("customer_id", BigInteger))
PERSON = PEOPLE.c.person_id
"""What the predicate of a leaf is about."""


class NotCopied(Exception):  # noqa: N818  # reads as a statement where it is caught
    """PostgreSQL has to be asked."""


class Copied(Protocol):
    """The copied rows of a moment."""

    def events(self, type_id: int, edges: Edges) -> Any:
        """Events of a type, those of the months between two moments at least: ``person_id``, ``at``, ``day``, ``p_<property>``."""

    def orders(self, edges: Edges) -> Any:
        """Orders of persons, by when they were placed, with the columns of :class:`scrm.commerce.models.Order`."""

    def order_lines(self, edges: Edges) -> Any:
        """Lines of these orders whose product is known: ``order_id``, ``product_id``."""


class NextJoin(Join):
    """Each row of the left beside the nearest row of the right (DuckDB's ASOF join), or beside nothing.

    The last comparison of ``onclause`` is the one that says what is near.
    """

    inherit_cache = True

    def __init__(self, left: Any, right: Any, onclause: Any) -> None:
        super().__init__(left, right, onclause, isouter=True)


@compiles(NextJoin)
def _asof(join: NextJoin, compiler: Any, **options: Any) -> str:
    options["asfrom"] = True
    left, right = (compiler.process(side, **options) for side in (join.left, join.right))
    return f"{left} ASOF LEFT JOIN {right} ON {compiler.process(join.onclause, **options)}"
