"""Asking the copy in columns for the customers for whom a leaf holds: of events, orders and sequences, about everybody.

The answer of the copy is that of its snapshots. Whoever had rows come or go since then is taken out of it and has to be asked
again in SQL; where these are too many, or the copy has not what the leaf asks, PostgreSQL answers alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from pyroaring import BitMap64
from sqlalchemy import BinaryExpression, ColumnElement
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.operators import in_op, not_in_op

from scrm.kernel import metrics
from scrm.kernel.settings import settings
from scrm.kernel.snapshots import Snapshot
from tags.columns.queries.changes import ALWAYS, Look, Stretch, look
from tags.columns.service.doubting import doubt, is_of_a_file
from tags.columns.service.reading import TooLong, alias, reader
from tags.columns.service.rows import CopiedRows, months
from tags.columns.service.shelf import Chunk, Copy, Source
from tags.rules.copies import PERSON, NotCopied
from tags.rules.tree import parse_tree

# DuckDB reads PostgreSQL's SQL, as far as leaves need it.
DIALECT: Any = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Answer:
    """What the copy says.

    :param ids: customers for whom the leaf holds; with ``but`` those for whom it does not
    :param changed: persons to be asked again; none of their customers is in ``ids``
    :param seen: the moment of which this is true
    """

    ids: BitMap64
    but: bool
    changed: BitMap64
    seen: Snapshot


def ask(tree: Mapping[str, Any], now: datetime) -> Answer | None:
    """The customers for whom a leaf holds; None: PostgreSQL has to be asked.

    :param tree: a leaf as a tree of the present version
    """
    node = parse_tree(tree)
    if node.leaf is None or node.leaf.in_columns is None or not settings().columns.enabled:
        return None
    from duckdb import Error

    files: set[str] = set()
    try:
        copy = reader().copy()
        if copy is None:
            return None
        copied = CopiedRows(copy)
        clause = node.leaf.in_columns(node.args, now, copied)
        files |= {each.file for each in (*copied.chunks, *copy.of(Source.PEOPLE))}
        answer = _answered(clause, copied, copy)
    except (NotCopied, TooLong):
        answer = None
    except (Error, OSError) as error:  # a file that went or cannot be read costs time, no answer
        log.warning("the copy in columns did not answer", error=type(error).__name__)
        for file in files if is_of_a_file(error) else ():
            doubt(file)
        answer = None
    metrics.COLUMNS_ASKED.labels("no" if answer is None else "yes").inc()
    return answer


def _answered(clause: ColumnElement[bool], copied: CopiedRows, copy: Copy) -> Answer | None:
    people = next(iter(copy.of(Source.PEOPLE)), None)
    if (
        people is None
        or not isinstance(clause, BinaryExpression)
        or clause.operator not in (in_op, not_in_op)
    ):
        return None
    found = _changed(copied, copy, people)
    if found is None:
        return None
    changed, seen = found
    chosen, values = _said(PERSON.in_(clause.right.element))
    if changed:
        chosen += f" AND people.person_id NOT IN (SELECT unnest(CAST(${len(values) + 1} AS BIGINT[])))"
        values.append(list(changed))
    asked = f"SELECT customer_id FROM {alias(people.file)}.people AS people WHERE {chosen}"  # noqa: S608  # our names
    ids = reader().ids(asked, values, settings().rules.preview_seconds)
    return Answer(ids, clause.operator is not_in_op, changed, seen)


def _said(clause: ColumnElement[bool]) -> tuple[str, list[Any]]:
    """A predicate as DuckDB takes it, and its values; the copy's times are in UTC, without a zone."""
    compiled = clause.compile(dialect=DIALECT, compile_kwargs={"render_postcompile": True})
    return str(compiled), [_plain(compiled.params[name]) for name in compiled.positiontup or ()]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


def _changed(copied: CopiedRows, copy: Copy, people: Chunk) -> tuple[BitMap64, Snapshot] | None:
    """Persons whose rows the copy has not as they are now, and which moment that is; None: too many, or nobody knows."""
    stretches = [Stretch(Source.PEOPLE, ALWAYS, ALWAYS, people.snapshot)]
    stretches += {Stretch(source, *months(edges), copy.since[source]) for source, edges in copied.used}
    chunks = [each for each in copy.chunks if any(_holds(stretch, each) for stretch in stretches)]
    seen = look(stretches, chunks)
    known = [*(each.since for each in stretches), *(each.snapshot for each in chunks)]
    if seen is None or not _fits(copy, seen) or not all(map(seen.knows_since, known)):
        return None
    return None if seen.person_ids is None else (BitMap64(seen.person_ids), seen.snapshot)


def _holds(stretch: Stretch, chunk: Chunk) -> bool:
    return (
        chunk.source is stretch.source
        and chunk.month is not None
        and stretch.first <= chunk.month <= stretch.last
    )


def _fits(copy: Copy, seen: Look) -> bool:
    """Whether the copy is of this database, its days and its months."""
    zone = settings().corp.timezone
    return (copy.base, copy.zone, copy.detached) == (seen.base, zone, seen.detached)
