"""Sets in PostgreSQL behind those in Redis: where Redis was emptied, nobody waits until all of them have been asked again.

They are written some minutes late, and brought to the present like any other set that is old. They carry the database that
their transaction numbers are of, so that those of a dump count for nothing where it is restored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from pyroaring import BitMap64
from sqlalchemy import ARRAY, Text, bindparam, delete, text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import IN_BINARY, session
from scrm.kernel.settings import settings
from scrm.kernel.snapshots import Snapshot
from tags.columns.queries.base import BASE
from tags.sets.models import BackedSet
from tags.sets.service import store
from tags.sets.service.memory import OVERHEAD, KeptSet
from tags.sets.service.watching import sources_of

EVERY = timedelta(minutes=10)
MOST_BYTES = 256 * 1024 * 1024  # of all together
OLD = 2  # times [sets] kept_minutes: changes since then are forgotten


def load(keys: Collection[str]) -> dict[str, KeptSet]:
    """Those of these sets that PostgreSQL has of this database, as old as they are."""
    if not keys:
        return {}
    digests = [store.digest_of(key) for key in keys]
    rows = session().execute(_LOAD, {"digests": digests}, execution_options=IN_BINARY)
    return {
        row.key: KeptSet(BitMap64.deserialize(row.bits), Snapshot.parse(row.snapshot), row.as_of)
        for row in rows
        if row.key in keys
    }


_LOAD = text(f"""
SELECT s.key, s.snapshot, s.as_of, s.bits FROM backed_sets s, column_base
WHERE s.digest = ANY(:digests) AND s.base = {BASE}
""").bindparams(bindparam("digests", type_=ARRAY(Text)))  # noqa: S608  # a constant


def aged() -> list[str]:
    """Keys of the sets in Redis of which PostgreSQL has none, or one of ten minutes ago, the most recently used first."""
    found = _chosen()
    moments = {row.digest: row.as_of for row in session().execute(_MOMENTS)}
    old = utcnow() - EVERY
    newer = [
        each for each in found if (at := moments.get(each.digest)) is None or (at <= old and at < each.as_of)
    ]
    return [each.key for each in newer if sources_of(each.key) is not None]


def _chosen() -> list[store.Shelved]:
    """The most recently used sets of Redis, as many as there is room for."""
    room, found = MOST_BYTES, []
    for each in store.shelved():
        room -= each.bytes
        if room < 0:
            break
        found.append(each)
    return found


_MOMENTS = text(f"SELECT s.digest, s.as_of FROM backed_sets s, column_base WHERE s.base = {BASE}")  # noqa: S608  # a constant


def back(keys: Sequence[str]) -> None:
    """Write sets that Redis has into PostgreSQL; bits that are the same stay where they are."""
    rows = [_row(key, each) for key, each in store.load(keys).items()]
    if rows:
        session().execute(_BACK, rows)


def _row(key: str, each: KeptSet) -> Mapping[str, object]:
    bits = each.bits.serialize()
    mark = hashlib.blake2s(bits, digest_size=12).hexdigest()
    told = {"snapshot": str(each.snapshot), "as_of": each.as_of, "bits": bits, "mark": mark}
    return {"digest": store.digest_of(key), "key": key, **told}


_BACK = text(f"""
INSERT INTO backed_sets AS s (digest, key, base, snapshot, as_of, bits, mark)
SELECT :digest, :key, {BASE}, :snapshot, :as_of, :bits, :mark FROM column_base
ON CONFLICT (digest) DO UPDATE SET key = excluded.key, base = excluded.base, snapshot = excluded.snapshot,
  as_of = excluded.as_of, mark = excluded.mark, bits = CASE WHEN s.mark = excluded.mark THEN s.bits ELSE excluded.bits END
WHERE s.as_of < excluded.as_of OR s.base <> excluded.base
""")  # noqa: S608  # a constant


def make_room() -> None:
    """Drop what there is no room for: of the sets that nobody wanted lately the oldest."""
    values = {"chosen": [each.digest for each in _chosen()], "most": MOST_BYTES, "overhead": OVERHEAD}
    session().execute(_MAKE_ROOM, values)


_MAKE_ROOM = text("""
DELETE FROM backed_sets WHERE digest IN (SELECT digest FROM (
  SELECT digest, sum(octet_length(bits) + :overhead) OVER (ORDER BY digest = ANY(:chosen) DESC, as_of DESC, digest) AS until
  FROM backed_sets) AS held WHERE until > :most)
""").bindparams(bindparam("chosen", type_=ARRAY(Text)))


def forget(keys: Collection[str] | None = None) -> None:
    """Drop sets, of which something may be wrong; None: all."""
    gone = delete(BackedSet)
    if keys is not None:
        gone = gone.where(BackedSet.digest.in_([store.digest_of(key) for key in keys]))
    session().execute(gone)


def forget_old() -> None:
    """Drop sets that are older than the changes that are known."""
    oldest = utcnow() - timedelta(minutes=OLD * settings().sets.kept_minutes)
    session().execute(delete(BackedSet).where(BackedSet.as_of < oldest))
