"""Reading channel codes, their groups and the contact ways found at WeCom."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, and_, func, literal, or_, select

from scrm.acquisition.models import ChannelAdd, ChannelCode, ChannelCodeGroup, CodeState, FoundWay
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.permissions import Scope


def _adds_of(scope: Scope) -> Any:
    adds = select(func.count()).where(ChannelAdd.channel_code_id == ChannelCode.id, ChannelAdd.counts)
    if not scope.everyone:
        adds = adds.where(ChannelAdd.staff_id.in_(scope.staff_ids))
    return adds.correlate(ChannelCode).scalar_subquery().label("adds")


def channel_code_list(scope: Scope, filters: dict[str, Any]) -> Select[Any]:
    """Codes with the number of adds through each, of the scope's staff; deleted ones only when asked for.

    :param filters: ``status``, ``group_id`` (0: in no group), ``staff_id`` (named by any roster, or on duty),
        ``q`` (part of the name), ``drifted``
    """
    statement = select(*ChannelCode.__table__.columns, _adds_of(scope))
    if status := filters.get("status"):
        statement = statement.where(ChannelCode.status == status)
    else:
        statement = statement.where(ChannelCode.status != CodeState.DELETED)
    if (group := filters.get("group_id")) is not None:
        statement = statement.where(
            ChannelCode.group_id == group if group else ChannelCode.group_id.is_(None)
        )
    if q := filters.get("q"):
        statement = statement.where(ChannelCode.name.icontains(q, autoescape=True))
    if (drifted := filters.get("drifted")) is not None:
        statement = statement.where(
            ChannelCode.drift.is_not(None) if drifted else ChannelCode.drift.is_(None)
        )
    if (staff_id := filters.get("staff_id")) is not None:
        statement = statement.where(_names(staff_id))
    return statement


def _names(staff_id: int) -> Any:
    """The clause: this member serves the code, now or at some time."""
    arrays = (ChannelCode.staff_ids, ChannelCode.backup_staff_ids, ChannelCode.on_duty)
    roster = [{"staff_ids": [staff_id]}]
    rosters = (ChannelCode.slots.contains(roster), ChannelCode.dates.contains(roster))
    return or_(*(literal(staff_id) == array.any_() for array in arrays), *rosters)


def channel_code_detail(scope: Scope, code_id: int) -> dict[str, Any]:
    """One code, deleted or not; raises NotFound when there never was one with this id."""
    statement = select(*ChannelCode.__table__.columns, _adds_of(scope)).where(ChannelCode.id == code_id)
    found = session().execute(statement).mappings().first()
    if found is None:
        raise NotFound(f"there is no channel code {code_id}")
    return dict(found)


def group_list() -> list[dict[str, Any]]:
    """Every group in its order, with the number of codes in it."""
    counted = and_(ChannelCode.group_id == ChannelCodeGroup.id, ChannelCode.status != CodeState.DELETED)
    statement = (
        select(*ChannelCodeGroup.__table__.columns, func.count(ChannelCode.id).label("codes"))
        .outerjoin(ChannelCode, counted)
        .group_by(ChannelCodeGroup.id)
        .order_by(ChannelCodeGroup.position, ChannelCodeGroup.id)
    )
    return [dict(row) for row in session().execute(statement).mappings()]


def group_detail(group_id: int) -> dict[str, Any]:
    """One group; raises NotFound."""
    found = next((row for row in group_list() if row["id"] == group_id), None)
    if found is None:
        raise NotFound(f"there is no group {group_id} of channel codes")
    return found


def found_way_list(filters: dict[str, Any]) -> Select[Any]:
    """Contact ways that WeCom showed and that are none of our codes.

    :param filters: ``adopted`` (default false), ``gone`` (default false)
    """
    adopted, gone = filters.get("adopted", False), filters.get("gone", False)
    return select(*FoundWay.__table__.columns).where(
        FoundWay.channel_code_id.is_not(None) if adopted else FoundWay.channel_code_id.is_(None),
        FoundWay.gone_at.is_not(None) if gone else FoundWay.gone_at.is_(None),
    )
