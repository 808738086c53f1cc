"""Likely duplicates: found by what they have in common, scored, and put before a person.

Only persons who share a key (the tail of a phone, an e-mail's name, a name, the beginning of an address) are compared,
and keys that many share (a common name) are left out: the work grows with the people, not with their square.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson
from sqlalchemy import text

from scrm.kernel.db import session
from scrm.people.models import MatchKind, MatchState
from scrm.people.service.deciding import objections
from scrm.people.service.likeness import TAIL_DIGITS, THRESHOLD, Features, Likeness, likeness
from scrm.people.service.resolving import identities_of

MOST_IN_BLOCK = 20
BEFORE_ALL = -(2**63)  # no hash is smaller; the one that is equal once in 2^64 is never compared
Pair = tuple[int, int]


def make_keys() -> None:
    """Make the keys of everybody anew, as far as some persons, and not too many, share them."""
    session().execute(text("TRUNCATE alike_keys"))
    session().execute(_MAKE_KEYS, {"tail": TAIL_DIGITS, "most": MOST_IN_BLOCK})


_MAKE_KEYS = text("""
INSERT INTO alike_keys (key, person_id)
SELECT key, person_id FROM (
SELECT key, person_id, count(*) OVER (PARTITION BY key) AS persons FROM (
SELECT DISTINCT hashtextextended(k.key, 0) AS key, k.person_id FROM (
  SELECT person_id, 'p' || right(value, :tail) AS key FROM identities WHERE kind = 'phone'
  UNION ALL
  SELECT person_id, 'p' || right(value_text, :tail) FROM person_fields WHERE field = 'phone'
  UNION ALL
  SELECT p.person_id, 'p' || right(regexp_replace(m, '[^0-9]', '', 'g'), :tail)
  FROM follows f JOIN customer_people p USING (customer_id), unnest(f.remark_mobiles) AS m
  WHERE length(regexp_replace(m, '[^0-9]', '', 'g')) >= :tail
  UNION ALL
  SELECT person_id, 'e' || lower(split_part(value, '@', 1)) FROM identities WHERE kind = 'email'
  UNION ALL
  SELECT person_id, 'e' || lower(split_part(value_text, '@', 1)) FROM person_fields WHERE field = 'email'
  UNION ALL
  SELECT person_id, 'n' || lower(regexp_replace(value_text, '\\s', '', 'g')) FROM person_fields WHERE field = 'name'
  UNION ALL
  SELECT p.person_id, 'n' || lower(regexp_replace(c.name, '\\s', '', 'g'))
  FROM customers c JOIN customer_people p ON p.customer_id = c.id
  UNION ALL
  SELECT person_id, 'a' || COALESCE(value->>'city', '') || left(regexp_replace(value->>'street', '\\s', '', 'g'), 6)
  FROM person_fields WHERE field = 'address'
) AS k WHERE length(k.key) > 2
) AS each_once) AS counted WHERE persons BETWEEN 2 AND :most
""")


def suggest(after: int, limit: int) -> int | None:
    """Compare the persons of the next keys and let those keys go; the last of them, None when there were none.

    Pairs that were decided, or wait for a decision, are not compared again.

    :param after: keys up to this one are gone; saves a look at what is left of their rows
    """
    blocks = list(session().scalars(_BLOCKS, {"after": after, "limit": limit}))
    if not blocks:
        return None
    pairs = [(row.low_id, row.high_id) for row in session().execute(_PAIRS, {"keys": blocks})]
    people = {person for pair in pairs for person in pair}
    features, known = features_of(people), identities_of(people)
    scored = [(pair, likeness(features[pair[0]], features[pair[1]])) for pair in pairs]
    note_alike([
        (pair, alike)
        for pair, alike in scored
        if alike.score >= THRESHOLD and not objections(known.get(pair[0], ()), known.get(pair[1], ()))
    ])  # fmt: skip
    session().execute(_COMPARED, {"keys": blocks})
    last: int = blocks[-1]
    return last


_BLOCKS = text("SELECT DISTINCT key FROM alike_keys WHERE key > :after ORDER BY key LIMIT :limit")
_COMPARED = text("DELETE FROM alike_keys WHERE key = ANY(CAST(:keys AS bigint[]))")
_PAIRS = text("""
SELECT DISTINCT a.person_id AS low_id, b.person_id AS high_id
FROM alike_keys a JOIN alike_keys b ON b.key = a.key AND b.person_id > a.person_id
JOIN people p ON p.id = a.person_id AND p.merged_into IS NULL JOIN people q ON q.id = b.person_id AND q.merged_into IS NULL
WHERE a.key = ANY(CAST(:keys AS bigint[]))
AND NOT EXISTS (SELECT FROM person_matches m WHERE m.low_id = a.person_id AND m.high_id = b.person_id)
ORDER BY 1, 2
""")


def features_of(person_ids: Iterable[int]) -> dict[int, Features]:
    """What is compared, of many persons in one statement."""
    rows = session().execute(_FEATURES, {"ids": sorted(person_ids)})
    return {
        row.id: Features(
            row.id, tuple(row.names or ()), tuple(row.phones or ()), tuple(row.emails or ()), row.address or "",
            row.birthday, row.gender,
        )
        for row in rows
    }  # fmt: skip


_FEATURES = text("""
SELECT x.id, f.birthday, f.gender, f.address,
  ARRAY(SELECT c.name FROM customer_people p JOIN customers c ON c.id = p.customer_id
    WHERE p.person_id = x.id AND c.name IS NOT NULL) || f.names AS names,
  ARRAY(SELECT i.value FROM identities i WHERE i.person_id = x.id AND i.kind = 'phone')
    || ARRAY(SELECT m FROM customer_people p JOIN follows l USING (customer_id), unnest(l.remark_mobiles) AS m
      WHERE p.person_id = x.id) || f.phones AS phones,
  ARRAY(SELECT i.value FROM identities i WHERE i.person_id = x.id AND i.kind = 'email') || f.emails AS emails
FROM unnest(CAST(:ids AS bigint[])) AS x(id) CROSS JOIN LATERAL (
  SELECT min(value_text) FILTER (WHERE field = 'birthday') AS birthday,
    min(value_text) FILTER (WHERE field = 'gender') AS gender,
    string_agg((SELECT string_agg(a.value, '' ORDER BY a.key) FROM jsonb_each_text(value) AS a), '')
      FILTER (WHERE field = 'address') AS address,
    COALESCE(array_agg(value_text) FILTER (WHERE field = 'name'), '{}') AS names,
    COALESCE(array_agg(value_text) FILTER (WHERE field = 'phone'), '{}') AS phones,
    COALESCE(array_agg(value_text) FILTER (WHERE field = 'email'), '{}') AS emails
  FROM person_fields WHERE person_id = x.id AND field IN ('birthday', 'gender', 'address', 'name', 'phone', 'email')
) AS f
""")


def note_alike(found: Sequence[tuple[Pair, Likeness]]) -> None:
    """Put likely duplicates before a person, each pair once and never again after it was rejected."""
    rows = [
        {"low_id": pair[0], "high_id": pair[1], "score": alike.score, "reasons": list(alike.reasons)}
        for pair, alike in sorted(found, key=lambda one: one[0])
    ]
    if rows:
        values = {"rows": orjson.dumps(rows).decode(), "kind": MatchKind.ALIKE, "state": MatchState.OPEN}
        session().execute(_NOTE, values)


_NOTE = text("""
INSERT INTO person_matches (low_id, high_id, keep_id, kind, state, score, reasons)
SELECT low_id, high_id, low_id, :kind, :state, score, reasons FROM jsonb_to_recordset(CAST(:rows AS jsonb))
  AS r(low_id bigint, high_id bigint, score float, reasons jsonb)
ORDER BY low_id, high_id ON CONFLICT (low_id, high_id) DO NOTHING
""")
