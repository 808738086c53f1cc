"""Changing the remark and description of a relation: planned here, a fact only when WeCom has taken it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from sqlalchemy import text

from scrm.customers.events import FollowChanged
from scrm.customers.models import FollowStatus
from scrm.customers.queries import follow_of
from scrm.customers.service.wanting import want_refresh
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput
from scrm.kernel.events import publish
from scrm.kernel.permissions import Scope
from scrm.wecom.effects import Intent, plan
from scrm.wecom.events import EffectSettled
from scrm.wecom.models import EffectState

EDITABLE = {
    FollowStatus.ACTIVE,
    FollowStatus.DELETED_BY_CUSTOMER,
}  # others are 84061 (wecom-api.md section 1.3)


def plan_remark(scope: Scope, customer_id: int, staff_id: int, changes: Mapping[str, str]) -> int:
    """Plan to overwrite ``remark`` and/or ``description`` at WeCom; returns the effect's id.

    :raises NotFound: no such relation in scope
    :raises Conflict: the relation is not one that WeCom lets us edit
    """
    if not changes:
        raise InvalidInput("give remark or description", fields={"remark": "or description is required"})
    follow, customer, userid = follow_of(scope, customer_id, staff_id)
    if follow.status not in EDITABLE:
        raise Conflict(f"the relation is {follow.status}; WeCom takes remarks of active ones only")
    payload = {"userid": userid, "external_userid": customer.external_userid, **changes}
    key = f"remark:follow:{follow.id}:{uuid.uuid4().hex}"
    return plan([Intent(kind="remark", key=key, payload=payload, subject=f"follow:{follow.id}")])[key]


def settle_remarks(events: Sequence[EffectSettled]) -> None:
    """Write remarks that WeCom has taken, in the order they were planned; then ask for what it shows now."""
    accepted = sorted(event.effect_id for event in events if event.state is EffectState.CONFIRMED)
    if not accepted:
        return
    rows = session().execute(_WRITE, {"ids": accepted}).all()
    publish(*(FollowChanged(row.id, row.customer_id, row.staff_id) for row in rows if row.changed))
    want_refresh(row.external_userid for row in rows)


_WRITE = text("""
WITH told AS (
  SELECT CAST(split_part(subject, ':', 2) AS bigint) AS follow_id,
    (array_agg(payload->>'remark' ORDER BY id DESC) FILTER (WHERE payload ? 'remark'))[1] AS remark,
    (array_agg(payload->>'description' ORDER BY id DESC) FILTER (WHERE payload ? 'description'))[1] AS description
  FROM effects WHERE id = ANY(CAST(:ids AS bigint[])) AND subject LIKE 'follow:%' GROUP BY 1)
UPDATE follows f SET remark = COALESCE(told.remark, f.remark), updated_at = now(),
  description = COALESCE(told.description, f.description)
FROM told, customers c WHERE f.id = told.follow_id AND c.id = f.customer_id
RETURNING new.id, new.customer_id, new.staff_id, c.external_userid,
  (old.remark, old.description) IS DISTINCT FROM (new.remark, new.description) AS changed
""")
