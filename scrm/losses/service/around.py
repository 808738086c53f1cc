"""What was around a loss: the last contact, the tags, and who else kept the customer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from scrm.kernel.db import session


def look_around(loss_ids: Sequence[int]) -> None:
    """Write last contact and state of losses; tags only once, because they go with the relation."""
    if loss_ids:
        session().execute(_LAST_CONTACT, {"ids": sorted(loss_ids)})
        session().execute(_TAGS, {"ids": sorted(loss_ids)})


def note_messages(moments: Sequence[tuple[int, datetime]]) -> None:
    """Messages (customer id, time) became known; one from before a loss may be its last contact."""
    values = {"customers": [customer for customer, _ in moments], "moments": [at for _, at in moments]}
    if moments and (ids := session().scalars(_LATE, values).all()):
        session().execute(_LAST_CONTACT, {"ids": ids})


_LATE = text("""
SELECT DISTINCT l.id FROM losses l
JOIN unnest(CAST(:customers AS bigint[]), CAST(:moments AS timestamptz[])) AS m(customer_id, at) USING (customer_id)
WHERE m.at <= l.lost_at AND m.at > COALESCE(l.last_contact_at, '-infinity') ORDER BY 1
""")
_LAST_CONTACT = text("""
UPDATE losses l SET last_contact_at = c.sent_at, last_contact_staff_id = c.staff_id,
  last_contact_by = CASE c.direction WHEN 'in' THEN 'customer' WHEN 'out' THEN 'staff' END
FROM losses o LEFT JOIN LATERAL (SELECT m.sent_at, m.staff_id, m.direction FROM messages m
  WHERE m.customer_id = o.customer_id AND m.sent_at <= o.lost_at AND m.direction IN ('in', 'out')
  ORDER BY m.sent_at DESC, m.id DESC LIMIT 1) c ON true
WHERE l.id = o.id AND o.id = ANY(CAST(:ids AS bigint[])) AND l.last_contact_at IS DISTINCT FROM c.sent_at
""")
_TAGS = text("""
UPDATE losses l SET tags = t.n FROM follows f, LATERAL (SELECT count(*) AS n FROM tag_assignments a
  WHERE a.follow_id = f.id AND a.state IN ('active', 'pending_add')) t
WHERE l.id = ANY(CAST(:ids AS bigint[])) AND f.customer_id = l.customer_id AND f.staff_id = l.staff_id
AND l.created_at = now() AND t.n > 0
""")


def count_others(customer_ids: Sequence[int]) -> None:
    """For every loss of these customers, count the other members who had them at that moment.

    A stay that ended counts up to its end; of ends within one second, those of larger ids are the later ones, so that
    exactly one loss is a customer's last.
    """
    session().execute(_OTHERS, {"customers": customer_ids})


_OTHERS = text("""
UPDATE losses l SET others = n.others FROM (
  SELECT o.id, (SELECT count(DISTINCT s.staff_id) FROM (
      SELECT e.staff_id FROM losses e WHERE e.customer_id = o.customer_id AND e.staff_id <> o.staff_id
        AND COALESCE(e.added_at, '-infinity') <= o.lost_at AND (e.lost_at, e.staff_id) > (o.lost_at, o.staff_id)
      UNION ALL
      SELECT f.staff_id FROM follows f WHERE f.customer_id = o.customer_id AND f.staff_id <> o.staff_id
        AND f.status IN ('active', 'half') AND COALESCE(
          (SELECT max(e.returned_at) FROM losses e WHERE e.customer_id = f.customer_id AND e.staff_id = f.staff_id),
          LEAST(f.added_at, f.half_added_at)) <= o.lost_at) s) AS others
  FROM losses o WHERE o.customer_id = ANY(CAST(:customers AS bigint[]))) n
WHERE l.id = n.id AND l.others <> n.others
""")
