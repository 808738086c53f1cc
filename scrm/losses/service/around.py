"""What was around a loss: the last contact, the tags, and who else kept the customer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from scrm.kernel.db import session
from scrm.losses.models import Turn


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
UPDATE losses l SET (last_contact_at, last_contact_by, last_contact_staff_id) = (
  SELECT m.sent_at, CASE m.direction WHEN 'in' THEN 'customer' ELSE 'staff' END, m.staff_id FROM messages m
  WHERE m.customer_id = l.customer_id AND m.sent_at <= l.lost_at AND m.direction IN ('in', 'out')
  ORDER BY m.sent_at DESC, m.id DESC LIMIT 1)
WHERE l.id = ANY(CAST(:ids AS bigint[])) AND (l.last_contact_at IS NOT NULL OR EXISTS (
  SELECT FROM messages m WHERE m.customer_id = l.customer_id AND m.sent_at <= l.lost_at AND m.direction IN ('in', 'out')))
""")
_TAGS = text("""
UPDATE losses l SET tags = t.n FROM follows f, LATERAL (SELECT count(*) AS n FROM tag_assignments a
  WHERE a.follow_id = f.id AND a.state IN ('active', 'pending_add')) t
WHERE l.id = ANY(CAST(:ids AS bigint[])) AND f.customer_id = l.customer_id AND f.staff_id = l.staff_id
AND l.created_at = now() AND t.n > 0
""")


def count_others(customer_ids: Sequence[int]) -> None:
    """For every loss of these customers, count the other members who had them at that moment.

    Of ends within one second those of larger staff ids are the later ones, so that exactly one loss is a customer's last.
    """
    session().execute(_OTHERS, {"customers": customer_ids})


_ADDS = f"('{Turn.ADDED}', '{Turn.HALF_ADDED}')"
_OWN = "k.customer_id = f.customer_id AND k.staff_id = f.staff_id"
_HAD = f"""COALESCE(
  (SELECT k.turn IN {_ADDS} FROM loss_facts k WHERE {_OWN}
     AND (k.at < o.lost_at OR k.at = o.lost_at AND (k.turn IN {_ADDS} OR k.staff_id < o.staff_id))
   ORDER BY k.at DESC, k.turn IN {_ADDS} LIMIT 1),
  (SELECT k.turn NOT IN {_ADDS} FROM loss_facts k WHERE {_OWN} ORDER BY k.at, k.turn NOT IN {_ADDS} LIMIT 1),
  f.status IN ('active', 'half') AND LEAST(f.added_at, f.half_added_at) <= o.lost_at)"""  # noqa: S608
"""What became of the relation last before the loss; without that, whether it ended only later; without any fact of it,
what the relation itself says."""
_OTHERS = text(f"""
UPDATE losses l SET others = n.others FROM (
  SELECT o.id, (SELECT count(*) FROM follows f WHERE f.customer_id = o.customer_id AND f.staff_id <> o.staff_id
    AND {_HAD}) AS others
  FROM losses o WHERE o.customer_id = ANY(CAST(:customers AS bigint[])) AND (o.others > 0 OR EXISTS (
    SELECT FROM follows f WHERE f.customer_id = o.customer_id AND f.staff_id <> o.staff_id))) n
WHERE l.id = n.id AND l.others <> n.others
""")  # noqa: S608  # names of this module's own constants
