"""Every customer of WeCom is somebody: the person of its external_userid and unionid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import text

from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.people.events import PeopleFound
from scrm.people.service.identity import Identity, IdentityKind
from scrm.people.service.resolving import Overtaken, resolve

SOURCE = "wecom"


def link_customers(customer_ids: Sequence[int]) -> int:
    """Give each of these customers its person, and the person the customer's unionid; returns how many were new."""
    ids = sorted(set(customer_ids))
    new = _link_strangers(ids)
    rows = session().execute(_MISSING, {"ids": ids}).all() if len(new) < len(ids) else []
    linked = [*new, *_link_known(rows)]
    if linked:
        publish(PeopleFound(tuple(sorted(set(linked)))))
    return len(linked)


def _link_strangers(customer_ids: Sequence[int]) -> list[int]:
    """Persons made for customers of whom nothing is known yet, all in one statement: most of a first sync.

    Nobody when another transaction found one of them at the same moment: then all are looked up.
    """
    try:
        with session().begin_nested():
            rows = session().execute(_LINK_STRANGERS, {"ids": list(customer_ids), "source": SOURCE}).all()
            if any(row.identities != row.wanted for row in rows):
                raise Overtaken
            return [row.person_id for row in rows]
    except Overtaken:
        return []


_LINK_STRANGERS = text("""
WITH stranger AS MATERIALIZED (
  SELECT c.id, c.external_userid, c.unionid, nextval(pg_get_serial_sequence('people', 'id')) AS person_id
  FROM customers c
  WHERE c.id = ANY(CAST(:ids AS bigint[]))
  AND NOT EXISTS (SELECT FROM customer_people p WHERE p.customer_id = c.id)
  AND NOT EXISTS (SELECT FROM identities i WHERE i.kind = 'external_userid' AND i.value = c.external_userid)
  AND (c.unionid IS NULL OR (
    NOT EXISTS (SELECT FROM identities i WHERE i.kind = 'unionid' AND i.value = c.unionid)
    AND NOT EXISTS (SELECT FROM customers o WHERE o.unionid = c.unionid AND o.id <> c.id)))),
named AS MATERIALIZED (
  SELECT 'external_userid' AS kind, external_userid AS value, person_id FROM stranger
  UNION ALL SELECT 'unionid', unionid, person_id FROM stranger WHERE unionid IS NOT NULL),
made AS (INSERT INTO people (id) SELECT person_id FROM stranger),
known AS (
  INSERT INTO identities (kind, value, person_id, source) SELECT kind, value, person_id, :source FROM named
  ORDER BY kind, value ON CONFLICT (kind, value) DO NOTHING RETURNING person_id),
linked AS (
  INSERT INTO customer_people (customer_id, person_id) SELECT id, person_id FROM stranger ORDER BY id
  ON CONFLICT (customer_id) DO NOTHING RETURNING person_id)
SELECT l.person_id, (SELECT count(*) FROM named) AS wanted, (SELECT count(*) FROM known) AS identities FROM linked l
""")


def _link_known(rows: Sequence[Any]) -> list[int]:
    """Persons of customers that may be somebody who is known."""
    if not rows:
        return []
    records = [[Identity(IdentityKind.EXTERNAL_USERID, row.external_userid)] for row in rows]
    for record, row in zip(records, rows, strict=True):
        if row.unionid:
            record.append(Identity(IdentityKind.UNIONID, row.unionid))
    people = resolve(records, SOURCE)
    pairs = [{"customer_id": row.id, "person_id": p} for row, p in zip(rows, people, strict=True)]
    return list(session().scalars(_LINK, {"rows": orjson.dumps(pairs).decode()}))


_MISSING = text("""
SELECT c.id, c.external_userid, c.unionid FROM customers c LEFT JOIN customer_people p ON p.customer_id = c.id
WHERE c.id = ANY(CAST(:ids AS bigint[])) AND (p.customer_id IS NULL OR (c.unionid IS NOT NULL AND NOT EXISTS (
  SELECT FROM identities i WHERE i.kind = 'unionid' AND i.value = c.unionid AND i.person_id = p.person_id)))
ORDER BY c.id
""")
_LINK = text("""
INSERT INTO customer_people (customer_id, person_id)
SELECT customer_id, person_id FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(customer_id bigint, person_id bigint)
ORDER BY customer_id ON CONFLICT (customer_id) DO NOTHING RETURNING person_id
""")
