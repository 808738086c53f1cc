"""Rows of one file that say they are the same record: the first counts, the others are errors that name it.

So what becomes of a chunk does not depend on the chunks before it, and a dry run in pieces finds what the run finds. Keys
are kept as 64-bit digests in a table while the dry run looks for them, chunk by chunk: memory does not grow with the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import orjson
from sqlalchemy import delete, text, update

from scrm.imports.models import ImportChunk, ImportKey
from scrm.imports.service.packing import Row, pack, unpack_rows
from scrm.imports.service.slices import Problems, Work, chunk_of
from scrm.kernel.db import session

AGAIN = "row {} is the same record; put what belongs together into one row"
APART = "row {} is of the same record; lines of one record stand together: sort the file"
Key = tuple[int, int | None]
"""(number of the row, digest of its key)"""


def find_repetitions(work: Work) -> None:
    """Note repeated rows of the next chunk, and how many rows at its beginning belong to the record before."""
    made = work.made
    if made.cursor == 0:
        forget_keys(made.id)
    chunk = chunk_of(made.id, made.cursor)
    if chunk is not None:
        keys = _keys(work, unpack_rows(chunk.rows))
        repeated, lead = _look(work, keys, _last_before(work))
        session().execute(
            update(ImportChunk)
            .where(ImportChunk.import_id == made.id, ImportChunk.number == made.cursor)
            .values(repeated=pack(repeated) if repeated else None, lead=lead)
        )
    made.cursor += 1
    if made.cursor >= made.chunks:
        made.keyed, made.cursor = True, 0
        forget_keys(made.id)


def forget_keys(import_id: int) -> None:
    """Delete the digests of a file: they are needed while it is looked through only."""
    session().execute(delete(ImportKey).where(ImportKey.import_id == import_id))


def _look(work: Work, keys: Sequence[Key], last: int | None) -> tuple[dict[int, Problems], int]:
    """(rows that repeat a key, rows at the beginning that go on with the record before)."""
    first, grouped = _first_rows(work.made.id, keys), work.target.grouped
    repeated: dict[int, Problems] = {}
    lead, leading, told = 0, grouped, APART if grouped else AGAIN
    column = work.plan.column_of("source_id")
    for number, key in keys:
        goes_on = grouped and key is not None and key == last
        leading = leading and goes_on
        lead += leading
        if key is not None and first[key] != number and not goes_on:
            repeated[number] = {column if column != "source_id" else "row": told.format(first[key])}
        last = key
    return repeated, lead


def _first_rows(import_id: int, keys: Sequence[Key]) -> Mapping[int, int]:
    """Where in the file each of these keys stands first; those of this chunk are kept."""
    fresh: dict[int, int] = {}
    for number, key in keys:
        if key is not None:
            fresh.setdefault(key, number)
    rows = orjson.dumps([{"digest": key, "row": fresh[key]} for key in sorted(fresh)]).decode()
    known = session().execute(_KEEP, {"id": import_id, "rows": rows})
    return {**fresh, **{row.digest: row.row for row in known}}


_KEEP = text("""
WITH given AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(digest bigint, row bigint)),
kept AS (
  INSERT INTO import_keys (import_id, digest, row) SELECT :id, digest, row FROM given ORDER BY digest
  ON CONFLICT DO NOTHING)
SELECT k.digest, k.row FROM given g JOIN import_keys k ON k.import_id = :id AND k.digest = g.digest
""")  # the select sees the table as it was: keys of chunks before


def _last_before(work: Work) -> int | None:
    """The key of the row before this chunk."""
    before = (
        chunk_of(work.made.id, work.made.cursor - 1) if work.target.grouped and work.made.cursor else None
    )
    return None if before is None else _keys(work, unpack_rows(before.rows)[-1:])[0][1]


def _keys(work: Work, rows: Sequence[Row]) -> list[Key]:
    """The digest of each row's key, signed as a bigint is."""
    plan, found = work.plan.keys_only(), []
    for number, cells in rows:
        key = work.target.key(plan.values(cells)[0])
        digest = None if key is None else hashlib.blake2b(key.encode(), digest_size=8).digest()
        found.append((number, None if digest is None else int.from_bytes(digest, signed=True)))
    return found
