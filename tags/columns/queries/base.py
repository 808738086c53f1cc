"""Which database a copy belongs to."""

from __future__ import annotations

# The key goes along when a database is dumped and restored, or set back to a backup, and transactions are counted anew: then
# the table has another number, or the log another timeline. A standby is none of whose moments the copy knows.
BASE = """CAST(column_base.key AS text) || '/' || CAST(CAST(CAST('column_base' AS regclass) AS oid) AS text) || '/' ||
  CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END"""
