"""Who is on a static list: single customers and imports; copies of many are in ``filling``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Text, cast, delete, func, literal, select
from sqlalchemy.dialects.postgresql import insert

from scrm.audiences.events import AudienceMembersChanged
from scrm.audiences.models import Audience, AudienceChange, AudienceKind, AudienceMember
from scrm.audiences.service.saving import living, log_change
from scrm.customers.models import Customer
from scrm.customers.queries import visible
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict
from scrm.kernel.events import publish
from scrm.kernel.permissions import Scope
from tags.arrays import is_one_of

Row = Mapping[str, Any]
IMPORT = "import:"  # how sources of imports begin


def add_members(audience_id: int, customer_ids: Sequence[int], source: str) -> int:
    """Put customers on a static list; those who are on it stay as they are. In one statement, at most some thousands a call.

    :param customer_ids: ids that are no customers are left out
    :param source: who does it, such as ``import:7``
    :returns: how many are new on the list
    :raises Conflict: the audience is no list, or archived
    """
    found = list_of(audience_id)
    added = insert_members(found.id, customer_ids, source, utcnow())
    _told(found, source, added=added)
    return len(added)


def remove_members(audience_id: int, customer_ids: Sequence[int], source: str) -> int:
    """Take customers off a static list; how many were on it."""
    found = list_of(audience_id)
    gone = _delete(found.id, customer_ids)
    _told(found, source, removed=gone)
    return len(gone)


def change_members(
    audience_id: int, rows: Sequence[Row], scope: Scope, source: str, *, add: bool
) -> list[dict[str, Any]]:
    """Add or remove up to 1,000 customers, each with a result of its own.

    :param rows: ``{"customer_id": …}`` or ``{"external_userid": …}`` each; unknown customers, and those outside the
        scope, are refused alone
    :returns: ``{"index", "status": added | removed | unchanged | refused, "customer_id"?, "problem"?}`` in the order given
    """
    found = list_of(audience_id)
    known = _resolved(rows, scope)
    ids = sorted({id_ for id_ in known if id_ is not None})
    changed = set(insert_members(found.id, ids, source, utcnow()) if add else _delete(found.id, ids))
    _told(found, source, **({"added": sorted(changed)} if add else {"removed": sorted(changed)}))
    results, told = [], "added" if add else "removed"
    for index, id_ in enumerate(known):
        if id_ is None:
            problem = {
                next(iter(rows[index])): "there is no such customer, or it lies outside this key's data scope"
            }
            results.append({"index": index, "status": "refused", "problem": problem})
        else:
            status = told if id_ in changed else "unchanged"
            changed.discard(id_)  # named twice: the first did it
            results.append({"index": index, "status": status, "customer_id": id_})
    return results


def list_of(audience_id: int) -> Audience:
    """A list that can be filled, held until the transaction ends.

    :raises NotFound: there is none
    :raises Conflict: the audience is a condition, or archived
    """
    found = living(audience_id)
    if found.kind is not AudienceKind.STATIC:
        raise Conflict(f"audience {audience_id} is a condition; only static lists are filled by hand")
    if found.archived_at is not None:
        raise Conflict(f"audience {audience_id} is archived; take it out of the archive first")
    return found


def insert_members(audience_id: int, customer_ids: Sequence[int], source: str, at: datetime) -> list[int]:
    """Put those of the customers on a list who are not yet on it; their ids in order."""
    wanted = (
        select(literal(audience_id, BigInteger), Customer.id, literal(source, Text), literal(at))
        .where(is_one_of(Customer.id, customer_ids))
        .order_by(Customer.id)
    )
    columns = ["audience_id", "customer_id", "source", "added_at"]
    adding = insert(AudienceMember).from_select(columns, wanted).on_conflict_do_nothing()
    return sorted(session().scalars(adding.returning(AudienceMember.customer_id)))


def _delete(audience_id: int, customer_ids: Sequence[int]) -> list[int]:
    taking = delete(AudienceMember).where(
        AudienceMember.audience_id == audience_id, is_one_of(AudienceMember.customer_id, customer_ids)
    )
    returned = taking.returning(AudienceMember.customer_id).execution_options(synchronize_session=False)
    return sorted(session().scalars(returned))


def _told(audience: Audience, source: str, *, added: Sequence[int] = (), removed: Sequence[int] = ()) -> None:
    if added or removed:
        _log(audience, source, len(added), len(removed))
        publish(AudienceMembersChanged(audience.id, (*added, *removed)))


def _log(audience: Audience, source: str, added: int, removed: int) -> None:
    """A line of history; an import, which comes in many batches, has one for all of them."""
    if source.startswith(IMPORT):
        newest = select(AudienceChange).filter_by(audience_id=audience.id).order_by(AudienceChange.id.desc())
        last = session().scalars(newest.limit(1)).one_or_none()
        if last is not None and last.by == source and last.changes.keys() == {"members"}:
            told = last.changes["members"]
            last.changes = {"members": {"added": told["added"] + added, "removed": told["removed"] + removed}}
            return
    log_change(audience, source, {"members": {"added": added, "removed": removed}})


def _resolved(rows: Sequence[Row], scope: Scope) -> list[int | None]:
    """Ids of visible customers in the order of the rows."""
    ids = {row["customer_id"] for row in rows if "customer_id" in row}
    names = sorted({row["external_userid"] for row in rows if "external_userid" in row})
    named = Customer.external_userid == func.any(cast(names, ARRAY(Text)))
    seen = select(Customer.id, Customer.external_userid).where(
        is_one_of(Customer.id, ids) | named, visible(scope)
    )
    found: dict[int | str, int] = {}
    for row in session().execute(seen):
        found[row.id] = found[row.external_userid] = row.id
    return [found.get(row.get("customer_id", row.get("external_userid"))) for row in rows]
