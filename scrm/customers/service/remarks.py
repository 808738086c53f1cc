"""Changing remark, description, company and phones of a relation: planned here, a fact only when WeCom has taken it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

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
WECOM_USER = 2  # customers.type


def plan_remark(scope: Scope, customer_id: int, staff_id: int, changes: Mapping[str, Any]) -> int:
    """Plan to overwrite ``remark``, ``description``, ``remark_company``, ``remark_mobiles`` at WeCom.

    :returns: the effect's id
    :raises InvalidInput: nothing to change, or a company for somebody who is no WeChat user
    :raises NotFound: no such relation in scope
    :raises Conflict: the relation is not one that WeCom lets us edit
    """
    if not changes:
        raise InvalidInput("give something to change", fields={"remark": "or another field is required"})
    follow, customer, userid = follow_of(scope, customer_id, staff_id)
    if follow.status not in EDITABLE:
        raise Conflict(f"the relation is {follow.status}; WeCom takes remarks of active ones only")
    if changes.get("remark_company") and customer.type == WECOM_USER:
        raise InvalidInput.field("remark_company", "can be set for WeChat users only; this one uses WeCom")
    payload = {"userid": userid, "external_userid": customer.external_userid, **changes}
    if payload.get("remark_mobiles") == []:
        payload["remark_mobiles"] = [""]  # clears (wecom-api.md section 4.2)
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
    (array_agg(payload->>'description' ORDER BY id DESC) FILTER (WHERE payload ? 'description'))[1] AS description,
    (array_agg(payload->>'remark_company' ORDER BY id DESC) FILTER (WHERE payload ? 'remark_company'))[1] AS company,
    (array_agg(payload->'remark_mobiles' ORDER BY id DESC) FILTER (WHERE payload ? 'remark_mobiles'))[1] AS mobiles
  FROM effects WHERE id = ANY(CAST(:ids AS bigint[])) AND subject LIKE 'follow:%' GROUP BY 1)
UPDATE follows f SET remark = COALESCE(told.remark, f.remark), updated_at = now(),
  description = COALESCE(told.description, f.description),
  remark_corp_name = COALESCE(told.company, f.remark_corp_name),
  remark_mobiles = CASE WHEN told.mobiles IS NULL THEN f.remark_mobiles
    ELSE ARRAY(SELECT m FROM jsonb_array_elements_text(told.mobiles) AS m WHERE m <> '') END
FROM told, customers c WHERE f.id = told.follow_id AND c.id = f.customer_id
RETURNING new.id, new.customer_id, new.staff_id, c.external_userid,
  (old.remark, old.description, old.remark_corp_name, old.remark_mobiles)
  IS DISTINCT FROM (new.remark, new.description, new.remark_corp_name, new.remark_mobiles) AS changed
""")
