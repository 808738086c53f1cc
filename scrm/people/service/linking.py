"""Every customer of WeCom is somebody: the person of its external_userid and unionid."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from sqlalchemy import text

from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.people.events import PeopleFound
from scrm.people.service.identity import Identity, IdentityKind
from scrm.people.service.resolving import resolve

SOURCE = "wecom"


def link_customers(customer_ids: Sequence[int]) -> int:
    """Give each of these customers its person, and the person the customer's unionid; returns how many were new."""
    rows = session().execute(_MISSING, {"ids": sorted(set(customer_ids))}).all()
    if not rows:
        return 0
    records = [[Identity(IdentityKind.EXTERNAL_USERID, row.external_userid)] for row in rows]
    for record, row in zip(records, rows, strict=True):
        if row.unionid:
            record.append(Identity(IdentityKind.UNIONID, row.unionid))
    people = resolve(records, SOURCE)
    pairs = [{"customer_id": row.id, "person_id": p} for row, p in zip(rows, people, strict=True)]
    linked = session().scalars(_LINK, {"rows": orjson.dumps(pairs).decode()}).all()
    if linked:
        publish(PeopleFound(tuple(sorted(set(linked)))))
    return len(linked)


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
