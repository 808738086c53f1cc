"""A customer has gone over: the old relation ended by transfer, the new one is fetched, tags follow when wanted.

The consequences are drawn in a transaction of their own. They take locks on customers, which callbacks hold before they
come here: in one transaction with the item's the two would wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Row, text

from scrm.customers.events import LostBy
from scrm.customers.models import FollowStatus
from scrm.customers.service.recording import Deletion, record_deletions
from scrm.customers.service.wanting import want_refresh
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.transfers.events import CustomersHandedOver
from scrm.transfers.models import Resolution
from scrm.transfers.service.unassigned import resolve
from tags.service import Wish, assign

BY_TRANSFER = (
    "DELETE_BY_TRANSFER"  # WeCom's Source of a relation that a transfer ended (wecom-api.md section 3.1)
)
BATCH = 500


def complete(done: Sequence[tuple[int, datetime]]) -> None:
    """Mark items as done; those that were done before are passed over.

    :param done: (item id, when it happened)
    """
    rows = [{"id": id_, "at": at} for id_, at in sorted(done)]
    found = list(session().scalars(_DONE, {"rows": orjson.dumps(rows).decode(), "now": utcnow()}))
    resolve(found, Resolution.TRANSFERRED)
    if found:
        publish(CustomersHandedOver())


_DONE = text("""
UPDATE transfer_items i SET state = 'done', settled_at = :now, heard_at = r.at, takeover_at = LEAST(r.at, :now),
  accepted_at = COALESCE(i.accepted_at, i.asked_at), reason = NULL, errcode = NULL,
  follow_up_at = CASE WHEN i.customer_id IS NOT NULL THEN CAST(:now AS timestamptz) END
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, at timestamptz)
WHERE i.id = r.id AND i.state <> 'done' RETURNING i.id
""")


def follow_up() -> int:
    """Bring the relations of customers who went over up to date, some at once; returns how many there were.

    The old one is ended with WeCom's own source before a fetch sees that it is gone and takes it for a loss: what was
    asked for by API may stay without an event.
    """
    rows = session().execute(_FOLLOW_UP, {"now": utcnow(), "limit": BATCH}).all()
    if not rows:
        return 0
    record_deletions([_ended(row) for row in rows if not row.told])
    want_refresh(row.external_userid for row in rows)
    session().execute(_FOLLOWED_UP, {"ids": [row.id for row in rows], "now": utcnow()})
    return len(rows)


_FOLLOW_UP = text("""
SELECT i.id, c.external_userid, s.userid, i.takeover_at, COALESCE(f.delete_source = 'DELETE_BY_TRANSFER'
  AND f.deleted_by_staff_at >= date_trunc('second', i.asked_at), false) AS told
FROM transfer_items i JOIN customers c ON c.id = i.customer_id JOIN staff s ON s.id = i.from_staff_id
LEFT JOIN follows f ON f.customer_id = i.customer_id AND f.staff_id = i.from_staff_id
WHERE i.follow_up_at <= :now ORDER BY c.external_userid LIMIT :limit FOR UPDATE OF i SKIP LOCKED
""")
_FOLLOWED_UP = text("""
UPDATE transfer_items i SET follow_up_at = NULL,
  tags_wanted_at = CASE WHEN p.copy_tags AND cardinality(i.tag_ids) > 0 THEN CAST(:now AS timestamptz) END
FROM transfer_plans p WHERE p.id = i.plan_id AND i.id = ANY(CAST(:ids AS bigint[]))
""")


def _ended(row: Row[Any]) -> Deletion:
    return Deletion(row.userid, row.external_userid, row.takeover_at, LostBy.STAFF, BY_TRANSFER)


def copy_tags() -> int:
    """Set the old relation's tags on new relations that are known by now, as ``transfer:<plan>``; returns how many."""
    rows = session().execute(_TAGS_WANTED, {"limit": BATCH, "status": FollowStatus.ACTIVE}).all()
    wishes = [
        Wish(row.follow_id, tag, f"transfer:{row.plan_id}", add=True) for row in rows for tag in row.tag_ids
    ]
    assign(wishes)
    session().execute(_TAGS_SET, {"ids": [row.id for row in rows]})
    return len(rows)


_TAGS_WANTED = text("""
SELECT i.id, i.plan_id, i.tag_ids, f.id AS follow_id FROM transfer_items i
JOIN follows f ON f.customer_id = i.customer_id AND f.staff_id = i.to_staff_id AND f.status = :status
WHERE i.tags_wanted_at IS NOT NULL ORDER BY i.id LIMIT :limit FOR UPDATE OF i SKIP LOCKED
""")
_TAGS_SET = text("UPDATE transfer_items SET tags_wanted_at = NULL WHERE id = ANY(CAST(:ids AS bigint[]))")


def follow_up_due() -> bool:
    """Whether relations wait to be brought up to date."""
    waiting = text("SELECT EXISTS (SELECT FROM transfer_items WHERE follow_up_at <= :now)")
    return bool(session().scalar(waiting, {"now": utcnow()}))


def tags_due() -> bool:
    """Whether tags wait for a relation that is known by now."""
    return bool(session().scalar(_TAGS_DUE, {"status": FollowStatus.ACTIVE}))


_TAGS_DUE = text("""
SELECT EXISTS (SELECT FROM transfer_items i JOIN follows f ON f.customer_id = i.customer_id
  AND f.staff_id = i.to_staff_id AND f.status = :status WHERE i.tags_wanted_at IS NOT NULL)
""")
