"""Asking the copy in columns for the customers for whom a leaf holds: of events, orders and sequences, about everybody.

The answer of the copy is that of its snapshots. Whoever had rows come or go since then is taken out of it and has to be asked
again in SQL; where these are too many, or the copy has not what the leaf asks, PostgreSQL answers alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
from tags.columns.queries.changes import MOST_PERSONS, Change, Look, look
from tags.columns.service.reading import TooLong, alias, reader
from tags.columns.service.rows import CopiedRows, touches
from tags.columns.service.shelf import Copy, Source
from tags.rules.copies import PERSON, Edges, NotCopied
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

    try:
        copy = reader().copy()
        if copy is None:
            return None
        copied = CopiedRows(copy)
        answer = _answered(node.leaf.in_columns(node.args, now, copied), copied, copy)
    except (NotCopied, TooLong):
        answer = None
    except (Error, OSError) as error:  # a file that went or cannot be read costs time, no answer
        log.warning("the copy in columns did not answer", error=type(error).__name__)
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
    found = _changed(copied, copy)
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


def _changed(copied: CopiedRows, copy: Copy) -> tuple[BitMap64, Snapshot] | None:
    """Persons whose rows the copy has not as they are now, and which moment that is; None: too many, or nobody knows."""
    if any(source not in copy.since for source, _ in copied.used):
        return None  # it is still being made: months without a chunk may have rows
    uses = [*copied.used, (Source.PEOPLE, (None, None))]
    moments = _Moments(copy)
    known = moments.of({source for source, _ in uses})
    seen = look(min(known, key=lambda each: each.xmin), {source for source, _ in uses})
    if seen is None or not _fits(copy, seen) or not all(map(seen.knows_since, known)):
        return None
    changed = BitMap64()
    for change in seen.changes:
        if any(source is change.source and moments.missed(change, edges) for source, edges in uses):
            if change.person_ids is None:
                return None
            changed.update(change.person_ids)
    return (changed, seen.snapshot) if len(changed) <= MOST_PERSONS else None


def _fits(copy: Copy, seen: Look) -> bool:
    """Whether the copy is of this database, its days and its months."""
    zone = settings().corp.timezone
    return (copy.base, copy.zone, copy.detached) == (seen.base, zone, seen.detached)


class _Moments:
    """Which snapshot the rows of a month are right for."""

    def __init__(self, copy: Copy) -> None:
        self._since = copy.since
        self._chunks = {(each.source, each.month): each.snapshot for each in copy.chunks}

    def of(self, sources: Collection[Source]) -> list[Snapshot]:
        """All of some sources."""
        chunks = [snapshot for (source, _), snapshot in self._chunks.items() if source in sources]
        return chunks + [snapshot for source, snapshot in self._since.items() if source in sources]

    def missed(self, change: Change, edges: Edges) -> bool:
        """Whether a change of rows between two moments came after the copy of its month."""
        months = [month for month in change.months if touches(month, edges)] if change.months else [None]
        snapshots = (
            self._chunks.get((change.source, month)) or self._since[change.source] for month in months
        )
        return any(not snapshot.shows(change.xid) for snapshot in snapshots)
