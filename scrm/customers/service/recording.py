"""Recording what happened to customers and their follow relations.

Events may come twice, late, in any order or not at all. So every write merges: the newest time wins, the database
computes the status from the times (``models.STATUS_SQL``), and each event asks WeCom for the present state afterwards.
Every function works on a whole batch with a fixed number of statements. Locks are taken on customers by
``external_userid`` and then on follows by (customer, staff), always in this order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Row, text

from scrm.customers.events import ContactFact, ContactRecorded, FollowAdded, FollowChanged, FollowLost, LostBy
from scrm.customers.models import FollowStatus
from scrm.customers.service.wanting import ensure_customers, want_details
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.staff.service import ensure_staff

LOST = {FollowStatus.DELETED_BY_STAFF: LostBy.STAFF, FollowStatus.DELETED_BY_CUSTOMER: LostBy.CUSTOMER}
LOSS_FACTS = {LostBy.STAFF: ContactFact.LOST_BY_STAFF, LostBy.CUSTOMER: ContactFact.LOST_BY_CUSTOMER}


@dataclass(frozen=True, slots=True)
class Add:
    """A member gained a customer; ``half``: the member has not added back. ``state``: of the contact way."""

    userid: str
    external_userid: str
    at: datetime
    half: bool = False
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Deletion:
    """A relation was ended ``by`` one side; ``source`` is WeCom's (DELETE_BY_TRANSFER)."""

    userid: str
    external_userid: str
    at: datetime
    by: LostBy
    source: str | None = None


@dataclass(frozen=True, slots=True)
class TransferFailure:
    """A customer was not handed over to ``userid``; ``reason`` is WeCom's FailReason."""

    userid: str
    external_userid: str
    at: datetime
    reason: str


Fact = Add | Deletion | TransferFailure
Pair = tuple[str, str]
"""(casefolded userid, external_userid)"""


def record_adds(adds: Sequence[Add]) -> dict[Pair, int]:
    """Record adds, half and full; tells FollowAdded once for each real one.

    :returns: ids of the follows by (casefolded userid, external_userid)
    """
    ids: dict[Pair, int] = {}
    for row, told in _record(adds):
        ids |= {(add.userid.casefold(), add.external_userid): row.id for add in told}
        facts = (
            (ContactFact.HALF_ADDED if add.half else ContactFact.ADDED, add.at, add.state) for add in told
        )
        tell_history(row, facts, replaced=_replaced_add(row))
        publish(*(FollowAdded(row.id, row.customer_id, row.staff_id, at) for at in _times_to_tell(row, told)))
    return ids


def ensure_follows(pairs: Iterable[tuple[str, str]]) -> dict[Pair, int]:
    """Ids of relations by (casefolded userid, external_userid); one never heard of gets a row of status unknown."""
    wanted = sorted({(userid, external_userid) for userid, external_userid in pairs})
    if not wanted:
        return {}
    staff = ensure_staff(userid for userid, _ in wanted)
    customers = ensure_customers(external_userid for _, external_userid in wanted)
    relations = {(customers[e], staff[u.casefold()]): (u.casefold(), e) for u, e in wanted}
    rows = [{"customer_id": c, "staff_id": s} for c, s in sorted(relations)]
    found = session().execute(_ENSURE, {"rows": orjson.dumps(rows).decode()})
    return {relations[row.customer_id, row.staff_id]: row.id for row in found}


_ENSURE = text("""
WITH r AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(customer_id bigint, staff_id bigint)),
made AS (INSERT INTO follows (customer_id, staff_id) SELECT customer_id, staff_id FROM r ORDER BY 1, 2
  ON CONFLICT (customer_id, staff_id) DO UPDATE SET updated_at = follows.updated_at
  RETURNING id, customer_id, staff_id)
SELECT id, customer_id, staff_id FROM made
""")


def record_deletions(deletions: Sequence[Deletion]) -> None:
    """Record ended relations; tells FollowLost when the status becomes a lost one."""
    for row, told in _record(deletions):
        tell_history(row, ((LOSS_FACTS[d.by], d.at, d.source) for d in told))
        tell_loss(row)


def record_transfer_failures(failures: Sequence[TransferFailure]) -> None:
    """Record that customers were not handed over; the newest reason stays."""
    for row, told in _record(failures):
        tell_history(row, ((ContactFact.TRANSFER_FAILED, f.at, f.reason) for f in told))
        if row.transfer_changed:
            publish(FollowChanged(row.id, row.customer_id, row.staff_id))


def _record(facts: Sequence[Fact]) -> list[tuple[Row[Any], list[Any]]]:
    """Merge facts into follows, one row per relation; returns (row of RETURNING, the relation's facts)."""
    if not facts:
        return []
    staff = ensure_staff(fact.userid for fact in facts)
    customers = want_details({fact.external_userid for fact in facts})
    grouped: dict[tuple[int, int], list[Fact]] = defaultdict(list)
    for fact in facts:
        grouped[customers[fact.external_userid], staff[fact.userid.casefold()]].append(fact)
    rows = [{"customer_id": key[0], "staff_id": key[1], **_fold(grouped[key])} for key in sorted(grouped)]
    found = session().execute(_MERGE, {"rows": orjson.dumps(rows).decode()}).all()
    return [(row, grouped[row.customer_id, row.staff_id]) for row in found]


def _fold(facts: Sequence[Fact]) -> dict[str, Any]:
    """The columns that these facts of one relation speak of; of a value that carries a time, the newest."""
    row: dict[str, Any] = {}
    for fact in facts:
        for column, value in _columns(fact).items():
            if value is not None and (column not in row or value > row[column]):
                row[column] = value
    for value, time in WITH_TIME:
        if value in row:
            row[time], row[value] = row[value]
    return row


WITH_TIME = (
    ("state", "state_at"),
    ("delete_source", "deleted_by_staff_at"),
    ("transfer_fail_reason", "transfer_failed_at"),
)
"""Values that belong to a time: the newest time's value wins, at the same second the greater one."""


def _columns(fact: Fact) -> dict[str, Any]:
    if isinstance(fact, Add):
        times = {"half_added_at" if fact.half else "added_at": fact.at, "add_event_at": fact.at}
        return {**times, "state": (fact.at, fact.state)} if fact.state else times
    if isinstance(fact, TransferFailure):
        return {"transfer_fail_reason": (fact.at, fact.reason)}
    if fact.by is LostBy.CUSTOMER:
        return {"deleted_by_customer_at": fact.at}
    return {"delete_source": (fact.at, fact.source or "")}


def _newest(value: str, time: str) -> str:
    """SQL that keeps the value of the newest time, whatever comes first."""
    return f"""{value} = CASE WHEN excluded.{time} > COALESCE(f.{time}, '-infinity') THEN excluded.{value}
    WHEN excluded.{time} = f.{time} THEN GREATEST(excluded.{value}, f.{value}) ELSE f.{value} END"""


_TIMES = (
    "half_added_at", "added_at", "add_event_at", "state_at",
    "deleted_by_staff_at", "deleted_by_customer_at", "transfer_failed_at",
)  # fmt: skip
_VALUES = tuple(value for value, _ in WITH_TIME)
_MERGE = text(f"""
INSERT INTO follows AS f (customer_id, staff_id, {", ".join(_TIMES + _VALUES)})
SELECT customer_id, staff_id, {", ".join(_TIMES)}, {", ".join(f"NULLIF({value}, '')" for value in _VALUES)}
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(customer_id bigint, staff_id bigint,
  {", ".join(f"{time} timestamptz" for time in _TIMES)}, {", ".join(f"{value} text" for value in _VALUES)})
ORDER BY customer_id, staff_id
ON CONFLICT (customer_id, staff_id) DO UPDATE SET
  {", ".join(_newest(value, time) for value, time in WITH_TIME)},
  {", ".join(f"{time} = GREATEST(f.{time}, excluded.{time})" for time in _TIMES)}, updated_at = now()
RETURNING new.id, new.customer_id, new.staff_id, old.add_event_at, old.half_added_at,
  old.added_at AS added_before, new.added_at, old.state AS state_before, old.state_at AS state_before_at,
  old.deleted_by_staff_at AS lost_to_staff_before, old.deleted_by_customer_at AS lost_before,
  old.status AS old_status, new.status AS new_status, new.deleted_by_staff_at, new.deleted_by_customer_at,
  (old.transfer_failed_at, old.transfer_fail_reason)
  IS DISTINCT FROM (new.transfer_failed_at, new.transfer_fail_reason) AS transfer_changed
""")  # noqa: S608  # names of this module's own constants


def _times_to_tell(before: Row[Any], adds: Sequence[Add]) -> list[datetime]:
    """Times of the adds that are news: later than the newest told, and not the full add that completes a told half."""
    newest, was_half = before.add_event_at, before.add_event_at == before.half_added_at
    losses = [at for at in (before.lost_to_staff_before, before.lost_before) if at is not None]
    times = []
    for add in sorted(adds, key=lambda a: (a.at, not a.half)):
        if newest is not None and add.at <= newest:
            continue
        completes = newest is not None and was_half and not add.half
        if not completes or any(newest <= lost <= add.at for lost in losses):
            times.append(add.at)
        newest, was_half = add.at, add.half
    return times


def _replaced_add(row: Row[Any]) -> tuple[datetime, str | None] | None:
    """The add, with its state, that a newer one replaced in the relation just now."""
    if row.added_before is None or row.added_before == row.added_at:
        return None
    return row.added_before, row.state_before if row.state_before_at == row.added_before else None


def tell_history(
    row: Row[Any],
    facts: Iterable[tuple[ContactFact, datetime, str | None]],
    *,
    found: bool = False,
    replaced: tuple[datetime, str | None] | None = None,
) -> None:
    """Tell facts of one relation (a row with id, customer_id, staff_id) for the histories; see ContactRecorded."""
    relation = (row.id, row.customer_id, row.staff_id)
    publish(*(ContactRecorded(*relation, *fact, found, replaced) for fact in dict.fromkeys(facts)))


def tell_loss(row: Row[Any]) -> None:
    """Tell FollowLost when the status went over to a lost one."""
    by = LOST.get(FollowStatus(row.new_status))
    if by is not None and row.new_status != row.old_status:
        at = row.deleted_by_staff_at if by is LostBy.STAFF else row.deleted_by_customer_at
        publish(FollowLost(row.id, row.customer_id, row.staff_id, by, at))
