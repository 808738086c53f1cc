"""Writing down that persons are named together, and that values are claimed by more than one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import text

from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.kernel.settings import settings
from scrm.people.events import PeopleMatched
from scrm.people.models import MatchKind, MatchState
from scrm.people.service.deciding import Match
from scrm.people.service.identity import Identity


def note_matches(matches: Sequence[Match]) -> None:
    """Put persons side by side, each pair once; pairs with nothing against them are merged by the job soon."""
    if not matches:
        return
    rows: dict[tuple[int, int], dict[str, Any]] = {}
    for match in matches:
        low, high = sorted((match.keep, match.other))
        before = rows.get((low, high))
        if before is None or before["kind"] != MatchKind.CONFLICT:
            state = MatchState.WANTED if match.kind is MatchKind.SHARED else MatchState.OPEN
            rows[low, high] = {
                "low_id": low, "high_id": high, "keep_id": match.keep, "kind": match.kind, "state": state,
                "reasons": list(match.reasons),
            }  # fmt: skip
    values = {"rows": orjson.dumps([rows[pair] for pair in sorted(rows)]).decode()}
    wanted = session().scalars(_NOTE_MATCHES, values).all()
    if wanted:
        publish(PeopleMatched(tuple(wanted)))


_NOTE_MATCHES = text("""
WITH written AS (
  INSERT INTO person_matches AS m (low_id, high_id, keep_id, kind, state, reasons)
  SELECT low_id, high_id, keep_id, kind, state, reasons FROM jsonb_to_recordset(CAST(:rows AS jsonb))
    AS r(low_id bigint, high_id bigint, keep_id bigint, kind text, state text, reasons jsonb)
  ORDER BY low_id, high_id
  ON CONFLICT (low_id, high_id) DO UPDATE SET kind = excluded.kind, state = excluded.state,
    reasons = excluded.reasons, keep_id = excluded.keep_id, score = NULL
  WHERE m.state = 'open' AND m.kind = 'alike'
  RETURNING id, state)
SELECT id FROM written WHERE state = 'wanted'
""")


def note_claims(claims: Sequence[tuple[Identity, int, str]]) -> None:
    """Count who claims a value that is somebody else's; one claimed by too many identifies nobody any more.

    :param claims: (identity, person, source)
    """
    if not claims:
        return
    rows = [{"kind": key.kind, "value": key.value, "person_id": p, "source": s} for key, p, s in claims]
    rows.sort(key=lambda row: (row["kind"], row["value"], row["person_id"]))
    document = orjson.dumps(rows).decode()
    session().execute(_NOTE_CLAIMS, {"rows": document})
    session().execute(_BLOCK, {"rows": document, "most": settings().people.shared_by})


_NOTE_CLAIMS = text("""
INSERT INTO identity_claims (kind, value, person_id, source)
SELECT DISTINCT ON (kind, value, person_id) kind, value, person_id, source
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(kind text, value text, person_id bigint, source text)
ORDER BY kind, value, person_id ON CONFLICT (kind, value, person_id) DO NOTHING
""")
_BLOCK = text("""
WITH shared AS (
  SELECT kind, value FROM identity_claims c JOIN (
    SELECT DISTINCT kind, value FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(kind text, value text)) r
    USING (kind, value)
  GROUP BY kind, value
  HAVING count(*) + (SELECT count(*) FROM identities i WHERE i.kind = c.kind AND i.value = c.value) > :most),
blocked AS (
  INSERT INTO blocked_values (kind, value, reason) SELECT kind, value, 'shared' FROM shared ORDER BY kind, value
  ON CONFLICT DO NOTHING)
DELETE FROM identities i USING shared WHERE i.kind = shared.kind AND i.value = shared.value
""")
