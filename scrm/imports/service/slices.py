"""A thousand rows: from cells to records, through the service, to what became of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import select

from scrm.imports.models import Import, ImportChunk
from scrm.imports.service.journal import Journal, noted, readable, watching
from scrm.imports.service.mapping import Plan, plan_of
from scrm.imports.service.packing import Row, unpack, unpack_rows
from scrm.imports.service.targets.registry import Found, Origin, Target, Values, target_of
from scrm.kernel.apikeys import actor_named
from scrm.kernel.batch import Batch, RowStatus
from scrm.kernel.db import session
from scrm.kernel.permissions import Actor

SHOWN = {
    "people", "identities", "person_values", "person_fields", "orders", "order_lines", "products", "behaviour_events",
    "audience_members",
}  # fmt: skip
PREFIXES = {"identities": "identity", "fields": "field", "properties": "property"}
Problems = dict[str, str]


@dataclass
class Record:
    """Rows of one record: one, or the lines of an order.

    :param problems: what is wrong, by number of the row and column
    """

    numbers: list[int]
    values: list[Values]
    problems: dict[int, Problems] = field(default_factory=dict)


@dataclass
class Outcome:
    """What became of some rows.

    :param tally: rows by status
    :param samples: rows by status, with their differences or problems
    :param errors: what is wrong, by number of the row
    :param subjects: (first row, status, record) of those that are right
    """

    tally: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    errors: dict[int, Problems] = field(default_factory=dict)
    subjects: list[tuple[int, str, int | str]] = field(default_factory=list)
    journal: Journal = field(default_factory=dict)

    def refuse(self, problems: Mapping[int, Problems], numbers: Iterable[int]) -> None:
        """Count the rows of a record that is wrong; those of its rows that are right go with it."""
        for number in numbers:
            given = dict(problems.get(number, {})) or {
                "row": "belongs to a record of which another row is wrong"
            }
            self.errors[number] = given
            self.tally["error"] += 1
            self.samples.setdefault("error", []).append({"row": number, "problems": given})

    def recall(self, told: Mapping[str, Problems]) -> None:
        """Say everything that the dry run found about rows that are wrong: a run looks at the first problem only."""
        for number, problems in self.errors.items():
            for column, problem in told.get(str(number), {}).items():
                problems.setdefault(column, problem)

    def note(self, numbers: Sequence[int], found: Found) -> None:
        """Count the rows of a record that was written, or would be."""
        self.tally[found.status] += len(numbers)
        self.subjects.append((numbers[0], found.status, found.subject))
        sample = {"row": numbers[0], "record": found.subject, "changes": found.changes}
        self.samples.setdefault(found.status, []).append(sample)


@dataclass(frozen=True)
class Work:
    """An import ready to be worked on."""

    made: Import
    target: Target
    plan: Plan

    @classmethod
    def of(cls, made: Import) -> Work:
        """Raises InvalidInput when the mapping does not fit any more (a field was archived meanwhile)."""
        target = target_of(made.target)
        header = [one["name"] for one in made.columns]
        return cls(made, target, plan_of(target, made.mapping or {}, header))

    @property
    def origin(self) -> Origin:
        """What stands in for ids that the file does not have."""
        return Origin(self.made.sha256, self.made.source or "")

    @cached_property
    def giver(self) -> Actor:
        """Who gave the file, with what they may do by now."""
        return actor_named(self.made.made_by)


def chunk_of(import_id: int, number: int) -> ImportChunk | None:
    """One chunk, read afresh."""
    return session().get(ImportChunk, (import_id, number), populate_existing=True)


def records_of(work: Work, number: int) -> tuple[list[Record], dict[int, Problems]]:
    """(records whose first row lies in a chunk, rows of them that repeat what the file has already).

    The last record may go on in the chunks that follow, by as many rows as these say.
    """
    chunk = chunk_of(work.made.id, number)
    if chunk is None:
        return [], {}
    rows = unpack_rows(chunk.rows)[chunk.lead :]
    repeated = _repeated(chunk)
    whole = bool(rows)
    while whole and (after := chunk_of(work.made.id, number + 1)) is not None and after.lead:
        rows += unpack_rows(after.rows)[: after.lead]
        repeated |= _repeated(after)
        whole, number = after.lead == after.row_count, number + 1
    return grouped(work, rows), repeated


def _repeated(chunk: ImportChunk) -> dict[int, Problems]:
    return {int(number): problems for number, problems in (unpack(chunk.repeated) or {}).items()}


def grouped(work: Work, rows: Iterable[Row]) -> list[Record]:
    """One record per row, or per stretch of rows with one key."""
    records: list[Record] = []
    last: str | None = None
    for number, cells in rows:
        values, problems = work.plan.values(cells)
        key = work.target.key(values) if work.target.grouped else None
        if key is None or key != last or not records:
            records.append(Record([], []))
        last = key
        records[-1].numbers.append(number)
        records[-1].values.append(values)
        if problems:
            records[-1].problems[number] = problems
    return records


def batch_of(work: Work, records: Sequence[Record]) -> Batch:
    """What the ``:batch`` endpoint would get."""
    documents = [work.target.document(one.values, one.numbers, work.origin) for one in records]
    return Batch(work.origin.source, documents)


def sound(work: Work, number: int, outcome: Outcome) -> tuple[list[Record], list[Record]]:
    """The records of a chunk whose cells can be read and that repeat nothing; and the others, noted as errors."""
    records, repeated = records_of(work, number)
    good, bad = [], []
    for one in records:
        again = {number: repeated[number] for number in one.numbers if number in repeated}
        if one.problems or again:
            outcome.refuse(again | one.problems, one.numbers)
            bad.append(one)
        else:
            good.append(one)
    return good, bad


def take_chunk(work: Work, number: int, *, trial: bool = False) -> Outcome:
    """Write one chunk through the service, in the running transaction, and say what became of its rows.

    :param trial: the transaction will be rolled back, so rows whose cells are wrong can be shown to the service too, which
        then names everything else that is wrong with them
    """
    outcome = Outcome()
    records, bad = sound(work, number, outcome)
    batch = batch_of(work, records)
    with watching():
        if records:
            work.target.store(batch, work.giver)
        outcome.journal = noted()
    found = work.target.found(batch, readable(outcome.journal, SHOWN))
    for record, result, one in zip(records, batch.results, found, strict=True):
        if one is None or result["status"] == RowStatus.REFUSED:
            outcome.refuse(problems_of(work, record, result.get("problem", {})), record.numbers)
        else:
            outcome.note(record.numbers, one)
    if trial:
        _ask_about(work, bad, outcome)
    else:
        outcome.recall(unpack(session().scalar(_errors_of(work.made.id, number))) or {})
    for samples in outcome.samples.values():
        samples.sort(key=lambda sample: sample["row"])
    return outcome


def _errors_of(import_id: int, number: int) -> Any:
    return select(ImportChunk.errors).where(ImportChunk.import_id == import_id, ImportChunk.number == number)


def _ask_about(work: Work, bad: Sequence[Record], outcome: Outcome) -> None:
    """What a service would say about the other cells of rows that are wrong already."""
    asked = [one for one in bad if one.problems]
    if not asked:
        return
    batch, named = batch_of(work, asked), {one.name for one in work.plan.columns}
    try_out = session().begin_nested()
    work.target.store(batch, work.giver)
    try_out.rollback()
    for record, result in zip(asked, batch.results, strict=True):
        for number, problems in problems_of(work, record, result.get("problem", {})).items():
            known = outcome.errors[number]
            for column in problems.keys() & named:
                known.setdefault(column, problems[column])


def problems_of(work: Work, record: Record, given: Mapping[str, str]) -> dict[int, Problems]:
    """What a service found wrong, by row and column."""
    found: dict[int, Problems] = {}
    named = {path.partition(".")[0] for path in given if "." in path}
    for path, problem in given.items():
        if path in named:
            continue  # "identities is missing" where its phone is wrong
        place, mapped = field_path(path)
        number = record.numbers[min(place, len(record.numbers) - 1)]
        found.setdefault(number, {})[work.plan.column_of(mapped)] = problem
    return found


def field_path(path: str) -> tuple[int, str]:
    """(row inside the record, path in mappings) of a path in a document: ``lines.2.amount`` is row 2, ``line:amount``."""
    parts = path.split(".")
    if parts[0] == "lines" and len(parts) > 2:
        return int(parts[1]), f"line:{parts[2]}"
    if parts[0] in PREFIXES and len(parts) > 1:
        return 0, f"{PREFIXES[parts[0]]}:{parts[1]}"
    return 0, "status" if parts[0] == "history" and parts[-1] == "status" else parts[0]
