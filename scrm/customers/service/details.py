"""Writing what WeCom shows of customers when it is asked (externalcontact/get, batch/get_by_user)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import text

from scrm.customers.events import ContactFact, CustomerChanged, CustomersFound, FollowChanged, FollowTagsSeen
from scrm.customers.models import FollowStatus
from scrm.customers.service.recording import tell_history, tell_loss
from scrm.customers.service.wanting import ask_again
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.staff.service import ensure_staff

LAG = timedelta(seconds=10)
"""WeCom's reads may trail its own events and our clocks may differ: a relation added so recently is not called gone."""


@dataclass(frozen=True, slots=True)
class FollowSeen:
    """A relation as WeCom shows it; ``tag_ids`` are its enterprise tags, None when they were not shown."""

    userid: str
    added_at: datetime
    remark: str | None = None
    description: str | None = None
    remark_corp_name: str | None = None
    remark_mobiles: tuple[str, ...] = ()
    add_way: int | None = None
    state: str | None = None
    oper_userid: str | None = None
    wechat_channels: Mapping[str, Any] | None = None
    tag_ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class CustomerSeen:
    """A customer as WeCom shows it at one moment.

    :param fields: columns of ``customers`` that were shown
    :param complete: ``follows`` are all there are; relations that are missing are gone
    :param settled: what was wanted of this customer is answered hereby
    """

    external_userid: str
    fields: Mapping[str, Any]
    follows: tuple[FollowSeen, ...] = ()
    complete: bool = False
    settled: bool = False


def apply_details(seen: Sequence[CustomerSeen], asked_at: datetime) -> None:
    """Write what WeCom showed; tells real differences only, and never an add.

    :param asked_at: when the question left; an older answer never overwrites a newer one
    """
    shown = {one.external_userid: one for one in seen}
    if not shown:
        return
    staff = ensure_staff(follow.userid for one in seen for follow in one.follows)
    rows = [{**shown[key].fields, "external_userid": key} for key in sorted(shown)]
    settled = [key for key, one in shown.items() if one.settled]
    values = {"rows": orjson.dumps(rows).decode(), "asked_at": asked_at, "settled": settled}
    written = session().execute(_APPLY_CUSTOMERS, values).all()
    if new := tuple(row.id for row in written if row.is_new):
        publish(CustomersFound(new))
    publish(*(CustomerChanged(row.id, tuple(row.changed)) for row in written if row.changed))
    relations = {
        (row.id, staff[follow.userid.casefold()]): follow
        for row in written
        for follow in shown[row.external_userid].follows
    }
    doubtful = _apply_follows(relations, asked_at)
    complete = sorted(row.id for row in written if shown[row.external_userid].complete)
    ask_again(doubtful | _close_missing(complete, relations, asked_at))


CONTACT_TYPES = {
    "name": "text", "avatar": "text", "type": "bigint", "gender": "bigint", "unionid": "text", "position": "text",
    "corp_name": "text", "corp_full_name": "text", "external_profile": "jsonb",
}  # fmt: skip
_SETTLED = "c.external_userid = ANY(CAST(:settled AS text[]))"
_SETTLE = f"""
  refresh_wanted_at = CASE WHEN NOT {_SETTLED} OR c.refresh_wanted_at > :asked_at THEN c.refresh_wanted_at END,
  refresh_after = CASE WHEN NOT {_SETTLED} THEN c.refresh_after END,
  refresh_failed = CASE WHEN NOT {_SETTLED} THEN c.refresh_failed END,
  refresh_attempts = CASE WHEN NOT {_SETTLED} THEN c.refresh_attempts ELSE 0 END"""
_APPLY_CUSTOMERS = text(f"""
INSERT INTO customers AS c (external_userid, refreshed_at, {", ".join(CONTACT_TYPES)})
SELECT external_userid, :asked_at, {", ".join(CONTACT_TYPES)} FROM jsonb_to_recordset(CAST(:rows AS jsonb))
  AS r(external_userid text, {", ".join(f"{name} {kind}" for name, kind in CONTACT_TYPES.items())})
ORDER BY external_userid
ON CONFLICT (external_userid) DO UPDATE SET
  {", ".join(f"{name} = COALESCE(excluded.{name}, c.{name})" for name in CONTACT_TYPES)},
  refreshed_at = excluded.refreshed_at, updated_at = now(), {_SETTLE}
WHERE c.refreshed_at IS NULL OR c.refreshed_at <= excluded.refreshed_at
RETURNING new.id, new.external_userid, old.id IS NULL AS is_new, array_remove(ARRAY[
  {", ".join(f"CASE WHEN old.{n} IS DISTINCT FROM new.{n} THEN '{n}' END" for n in CONTACT_TYPES)}], NULL) AS changed
""")  # noqa: S608  # names of this module's own constants


Relation = tuple[int, int]
"""(customer id, staff id)"""


def _apply_follows(relations: Mapping[Relation, FollowSeen], asked_at: datetime) -> set[int]:
    """Write shown relations; returns the customers whose relation is shown although a newer event ended it."""
    if not relations:
        return set()
    rows = [
        {"customer_id": key[0], "staff_id": key[1], **_follow_row(relations[key])}
        for key in sorted(relations)
    ]
    second = asked_at.replace(microsecond=0)  # events carry whole seconds: a deletion in this one is newer
    written = session().execute(_APPLY_FOLLOWS, {"rows": orjson.dumps(rows).decode(), "second": second}).all()
    publish(*(FollowChanged(row.id, row.customer_id, row.staff_id) for row in written if row.changed))
    for row in written:
        tags = relations[row.customer_id, row.staff_id].tag_ids
        if tags is not None and (tags or not row.is_first):
            publish(FollowTagsSeen(row.id, row.customer_id, tags, asked_at))
    return {row.customer_id for row in written if row.status == FollowStatus.DELETED_BY_STAFF}


def _follow_row(follow: FollowSeen) -> dict[str, Any]:
    return {name: getattr(follow, name) for name in ("added_at", *SHOWN_TYPES)}


SHOWN_TYPES = {
    "remark": "text", "description": "text", "remark_corp_name": "text", "remark_mobiles": "text[]",
    "add_way": "bigint", "state": "text", "oper_userid": "text", "wechat_channels": "jsonb",
}  # fmt: skip
_COMPARED = (*SHOWN_TYPES, "status", "added_at")
_APPLY_FOLLOWS = text(f"""
INSERT INTO follows AS f (customer_id, staff_id, added_at, confirmed_at, {", ".join(SHOWN_TYPES)}, state_at)
SELECT customer_id, staff_id, added_at, :second, {", ".join(SHOWN_TYPES)}, CASE WHEN state IS NOT NULL THEN added_at END
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(customer_id bigint, staff_id bigint, added_at timestamptz,
  {", ".join(f"{name} {kind}" for name, kind in SHOWN_TYPES.items())}) ORDER BY customer_id, staff_id
ON CONFLICT (customer_id, staff_id) DO UPDATE SET {", ".join(f"{n} = excluded.{n}" for n in SHOWN_TYPES if n != "state")},
  state = COALESCE(excluded.state, f.state), state_at = GREATEST(f.state_at, excluded.state_at),
  added_at = GREATEST(f.added_at, excluded.added_at), confirmed_at = excluded.confirmed_at, updated_at = now()
WHERE f.confirmed_at IS NULL OR f.confirmed_at <= excluded.confirmed_at
RETURNING new.id, new.customer_id, new.staff_id, new.status, old.confirmed_at IS NULL AS is_first,
  ({", ".join(f"old.{n}" for n in _COMPARED)}) IS DISTINCT FROM ({", ".join(f"new.{n}" for n in _COMPARED)}) AS changed
""")  # noqa: S608  # names of this module's own constants


def _close_missing(complete: Sequence[int], shown: Iterable[Relation], asked_at: datetime) -> set[int]:
    """End relations that a complete answer no longer showed; returns customers to ask about again (too fresh)."""
    if not complete:
        return set()
    second = asked_at.replace(microsecond=0)
    kept = list(zip(*shown, strict=True)) or [(), ()]
    values = {"ids": complete, "second": second, "recent": asked_at - LAG, "customers": list(kept[0])}
    missing = session().execute(_SELECT_MISSING, {**values, "staff": list(kept[1])}).all()
    if gone := [row.id for row in missing if not row.is_recent]:
        for row in session().execute(_CLOSE, {"ids": gone, "second": second}).all():
            tell_history(row, [(ContactFact.LOST_BY_STAFF, second, None)], found=True)
            tell_loss(row)
    return {row.customer_id for row in missing if row.is_recent}


_SELECT_MISSING = text("""
SELECT id, customer_id, COALESCE(GREATEST(added_at, half_added_at) >= :recent, false) AS is_recent FROM follows f
WHERE customer_id = ANY(CAST(:ids AS bigint[])) AND status IN ('active', 'deleted_by_customer')
AND (confirmed_at IS NULL OR confirmed_at <= :second) AND NOT EXISTS (
  SELECT FROM unnest(CAST(:customers AS bigint[]), CAST(:staff AS bigint[])) AS k(customer_id, staff_id)
  WHERE k.customer_id = f.customer_id AND k.staff_id = f.staff_id)
ORDER BY customer_id, staff_id FOR UPDATE
""")
_CLOSE = text("""
UPDATE follows SET deleted_by_staff_at = :second, delete_source = NULL, updated_at = now()
WHERE id = ANY(CAST(:ids AS bigint[]))
RETURNING new.id, new.customer_id, new.staff_id, old.status AS old_status, new.status AS new_status,
  new.deleted_by_staff_at, new.deleted_by_customer_at
""")
