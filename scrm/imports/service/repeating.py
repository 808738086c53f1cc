"""Rows of one file that say they are the same record: the first counts, the others are errors that name it.

So what becomes of a chunk does not depend on the chunks before it, and a dry run in pieces finds what the run finds.
Needs about 100 bytes of memory per record (a 64-bit digest of its key, and the row).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from sqlalchemy import update

from scrm.imports.models import ImportChunk
from scrm.imports.service.packing import Row, pack, unpack_rows
from scrm.imports.service.slices import Problems, Work, chunk_of
from scrm.kernel.db import session

AGAIN = "row {} is the same record; put what belongs together into one row"
APART = "row {} is of the same record; lines of one record stand together: sort the file"


def find_repetitions(work: Work) -> None:
    """Note repeated rows of every chunk, and how many rows at its beginning belong to the record before."""
    made, seen = work.made, Keys(work)
    for number in range(made.chunks):
        chunk = chunk_of(made.id, number)
        if chunk is None:
            continue
        repeated, lead = seen.look(unpack_rows(chunk.rows))
        session().execute(
            update(ImportChunk)
            .where(ImportChunk.import_id == made.id, ImportChunk.number == number)
            .values(repeated=pack(repeated) if repeated else None, lead=lead)
        )
        session().expunge(chunk)
    made.keyed = True


class Keys:
    """The keys that were seen so far."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.rows: dict[int, int] = {}
        self.last: int | None = None

    def look(self, rows: list[Row]) -> tuple[dict[int, Problems], int]:
        """(rows that repeat a key, rows at the beginning that go on with the record before)."""
        repeated: dict[int, Problems] = {}
        lead, leading = 0, self.work.target.grouped
        for number, key in self._keys(rows):
            goes_on = self.work.target.grouped and key is not None and key == self.last
            leading = leading and goes_on
            lead += leading
            first = self.rows.setdefault(key, number) if key is not None else number
            if first != number and not goes_on:
                told = APART if self.work.target.grouped else AGAIN
                repeated[number] = {self._column(): told.format(first)}
            self.last = key
        return repeated, lead

    def _keys(self, rows: list[Row]) -> Iterator[tuple[int, int | None]]:
        for number, cells in rows:
            values, _ = self.work.plan.values(cells)
            key = self.work.target.key(values)
            digest = hashlib.blake2b(key.encode(), digest_size=8).digest() if key is not None else None
            yield number, None if digest is None else int.from_bytes(digest)

    def _column(self) -> str:
        found = self.work.plan.column_of("source_id")
        return found if found != "source_id" else "row"
