"""Who may receive customers and groups, by share of a plan's rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, TableValuedAlias, and_, case, exists, or_, select

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.staff.models import Staff
from scrm.staff.queries import leaders_of, staff_of_departments
from scrm.transfers.models import ClosedReceiver, Reason, TransferPair, TransferPlan
from tags.arrays import is_one_of, row_table

ACTIVE_STAFF = 1  # Staff.status
FULL = 40099  # the receiver's contacts are at their limit
OF_GROUPS = -1  # the "share" that groups are split over: conditions are about customers


@dataclass(frozen=True)
class Slot:
    """A receiver's part of a share: from ``low`` to below ``high`` of ``whole`` weights."""

    share: int
    staff_id: int
    low: int
    high: int
    whole: int


def able() -> ColumnElement[bool]:
    """Whether a member may take customers over: not left, active, with the customer-contact feature.

    A member whom nobody has read from WeCom yet counts as able: WeCom decides then, and says so per customer.
    """
    active = and_(or_(Staff.status.is_(None), Staff.status == ACTIVE_STAFF), Staff.follows_customers)
    return and_(Staff.left_at.is_(None), or_(Staff.refreshed_at.is_(None), active))


def closed() -> ColumnElement[bool]:
    """WeCom said lately that this member can take nobody (contacts full, not verified)."""
    shut = exists().where(ClosedReceiver.staff_id == Staff.id, ClosedReceiver.until > utcnow())
    return shut.correlate(Staff)


def able_staff(ids: Iterable[int]) -> set[int]:
    """Those of ``ids`` who can receive now."""
    chosen = select(Staff.id).where(is_one_of(Staff.id, set(ids)), able(), ~closed())
    return set(session().scalars(chosen))


def slots(plan: TransferPlan) -> list[Slot]:
    """The able receivers of every share of the plan's rule, and of its groups; a share may have none."""
    shares = (plan.rule or {}).get("shares") or []
    weights = [_weights(share, plan.from_staff_id) for share in shares]
    can = able_staff({id_ for each in weights for id_ in each})
    found = [slot for number, each in enumerate(weights) for slot in _slots(number, each, can)]
    for_all = [each for share, each in zip(shares, weights, strict=True) if not share.get("condition")]
    merged: dict[int, int] = {}
    for each in for_all or weights:
        for id_, weight in each.items():
            merged[id_] = merged.get(id_, 0) + weight
    return found + _slots(OF_GROUPS, merged, can)


def unable_receivers(plan: TransferPlan) -> list[dict[str, Any]]:
    """Members whom the rule names, or a person by hand, and who cannot receive now, with the reason."""
    shares = (plan.rule or {}).get("shares") or []
    named = {id_ for share in shares for id_ in _weights(share, plan.from_staff_id)}
    by_hand = select(TransferPair.to_staff_id).where(TransferPair.plan_id == plan.id)
    ids = named if plan.rule is not None else set(session().scalars(by_hand))
    full = (
        exists().where(ClosedReceiver.staff_id == Staff.id, ClosedReceiver.errcode == FULL).correlate(Staff)
    )
    reason = case(
        (Staff.left_at.is_not(None), Reason.RECEIVER_LEFT.value),
        (and_(Staff.status.is_not(None), Staff.status != ACTIVE_STAFF), Reason.RECEIVER_DISABLED.value),
        (~able(), Reason.RECEIVER_WITHOUT_FEATURE.value),
        (full, Reason.RECEIVER_FULL.value),
        else_=Reason.RECEIVER_UNAVAILABLE.value,
    )
    rows = select(Staff.id.label("staff_id"), Staff.userid, Staff.name, reason.label("reason")).where(
        is_one_of(Staff.id, ids), or_(~able(), closed())
    )
    return [dict(row._mapping) for row in session().execute(rows.order_by(Staff.id))]


def _weights(share: Mapping[str, Any], handing_over: int) -> dict[int, int]:
    """{staff id: weight} of a share, in the order of ids, without the member who hands over."""
    found = dict.fromkeys(leaders_of([handing_over]).get(handing_over, ()), 1) if share.get("manager") else {}
    if departments := share.get("department_ids"):
        found |= dict.fromkeys(session().scalars(staff_of_departments(departments)), 1)
    found |= {member["staff_id"]: member.get("weight", 1) for member in share.get("members") or []}
    found.pop(handing_over, None)
    return dict(sorted(found.items()))


def _slots(share: int, weights: Mapping[int, int], can: set[int]) -> list[Slot]:
    chosen = [(id_, weight) for id_, weight in weights.items() if id_ in can]
    whole, low, made = sum(weight for _, weight in chosen), 0, []
    for id_, weight in chosen:
        made.append(Slot(share, id_, low, low + weight, whole))
        low += weight
    return made


def slot_table(found: Sequence[Slot]) -> TableValuedAlias:
    """Slots as a table of a statement: ``share``, ``staff_id``, ``low``, ``high``, ``whole``."""
    names = ("share", "staff_id", "low", "high", "whole")
    rows = [tuple(getattr(slot, name) for name in names) for slot in found]
    return row_table("slots", dict.fromkeys(names, BigInteger), rows)
