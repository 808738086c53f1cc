"""Reading links, channels, who came, and what WeCom told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import quote

from sqlalchemy import Select, and_, func, select

from scrm.acquisition_links.models import (
    AcquisitionLink,
    LinkArrival,
    LinkChannel,
    LinkEvent,
    LinkReading,
    LinkState,
)
from scrm.customers.models import Customer, Follow
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.permissions import Scope

STILL = func.greatest(AcquisitionLink.used_at, AcquisitionLink.mended_at)
WORKS = func.coalesce(AcquisitionLink.unavailable_at <= STILL, AcquisitionLink.unavailable_at.is_(None))
"""Nobody said that it stopped working, or it was used or mended since."""


def link_list(filters: dict[str, Any]) -> Select[Any]:
    """Links with whether they work and how many came through each; deleted ones only when asked for."""
    adds = select(func.count()).where(LinkArrival.acquisition_link_id == AcquisitionLink.id)
    statement = select(
        *AcquisitionLink.__table__.columns,
        and_(AcquisitionLink.status == LinkState.ACTIVE, WORKS).label("works"),
        adds.correlate(AcquisitionLink).scalar_subquery().label("adds"),
    )
    if status := filters.get("status"):
        return statement.where(AcquisitionLink.status == status)
    return statement.where(AcquisitionLink.status != LinkState.DELETED)


def link_detail(link_id: int) -> dict[str, Any]:
    """One link, deleted or not; raises NotFound when there never was one with this id."""
    found = session().get(AcquisitionLink, link_id)
    if found is None:
        raise NotFound(f"there is no acquisition link {link_id}")
    statement = link_list({"status": found.status}).where(AcquisitionLink.id == link_id)
    return dict(session().execute(statement).mappings().one())


def channel_list(link_id: int, filters: dict[str, Any]) -> Select[Any]:
    """Channels of a link with their addresses; archived ones only when asked for. Raises NotFound for no such link."""
    link_detail(link_id)
    statement = _channels().where(LinkChannel.acquisition_link_id == link_id)
    if filters.get("archived") is None:
        return statement
    archived = LinkChannel.archived_at
    return statement.where(archived.isnot(None) if filters["archived"] else archived.is_(None))


def channel_detail(channel_id: int) -> dict[str, Any]:
    """One channel with its address; raises NotFound."""
    found = session().execute(_channels().where(LinkChannel.id == channel_id)).mappings().first()
    if found is None:
        raise NotFound(f"there is no channel {channel_id}")
    return with_addresses([found])[0]


def _channels() -> Select[Any]:
    adds = select(func.count()).where(LinkArrival.link_channel_id == LinkChannel.id)
    return select(
        *LinkChannel.__table__.columns,
        AcquisitionLink.url.label("link_url"),
        adds.correlate(LinkChannel).scalar_subquery().label("adds"),
    ).join(AcquisitionLink, AcquisitionLink.id == LinkChannel.acquisition_link_id)


def with_addresses(channels: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows of channels with ``url``: the link's address with the channel's state, once WeCom gave the address."""
    return [{**row, "url": _address(row["link_url"], row["state"])} for row in channels]


def _address(url: str | None, state: str) -> str | None:
    if not url:
        return None
    return f"{url}{'&' if '?' in url else '?'}customer_channel={quote(state, safe='')}"


def welcomes_of_states(states: Collection[str]) -> dict[str, int]:
    """The welcome messages that channels name, by state."""
    if not states:
        return {}
    named = select(LinkChannel.state, LinkChannel.welcome_id).where(
        LinkChannel.state.in_(states), LinkChannel.welcome_id.is_not(None)
    )
    return {state: welcome_id for state, welcome_id in session().execute(named) if welcome_id}


def arrival_list(scope: Scope, link_id: int, filters: dict[str, Any]) -> Any:
    """Who came through a link, of the scope's members; raises NotFound for no such link."""
    link_detail(link_id)
    statement: Any = (
        select(
            LinkArrival.follow_id, LinkArrival.link_channel_id, LinkArrival.state, LinkArrival.at,
            LinkArrival.chat_status, LinkArrival.listed_at, Follow.customer_id, Follow.staff_id, Follow.status,
            Customer.external_userid, Customer.name,
        )
        .join(Follow, Follow.id == LinkArrival.follow_id)
        .join(Customer, Customer.id == Follow.customer_id)
        .where(LinkArrival.acquisition_link_id == link_id)
    )  # fmt: skip
    if (channel_id := filters.get("link_channel_id")) is not None:
        statement = statement.where(LinkArrival.link_channel_id == channel_id)
    return statement if scope.everyone else statement.where(Follow.staff_id.in_(scope.staff_ids))


def event_list(scope: Scope, filters: dict[str, Any]) -> Any:
    """What WeCom told about links, newest row first; of events that name somebody, those of the scope's members."""
    statement: Any = select(
        LinkEvent.id, LinkEvent.change_type, LinkEvent.event_at, LinkEvent.link_id, LinkEvent.state,
        LinkEvent.follow_id, LinkEvent.received, LinkEvent.chat_error, LinkEvent.expires_at, LinkEvent.expiring,
        AcquisitionLink.id.label("acquisition_link_id"), Follow.customer_id, Follow.staff_id,
    ).outerjoin(AcquisitionLink, AcquisitionLink.link_id == LinkEvent.link_id).outerjoin(
        Follow, Follow.id == LinkEvent.follow_id
    )  # fmt: skip
    if change_type := filters.get("change_type"):
        statement = statement.where(LinkEvent.change_type == change_type)
    if (link_id := filters.get("acquisition_link_id")) is not None:
        statement = statement.where(AcquisitionLink.id == link_id)
    if scope.everyone:
        return statement
    return statement.where(Follow.staff_id.in_(scope.staff_ids) | LinkEvent.follow_id.is_(None))


def readings() -> dict[str, dict[str, Any]]:
    """By what is read: when it was last, and why it failed when it did."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for row in session().scalars(select(LinkReading).order_by(LinkReading.kind)):
        found[row.kind.value] = {"read_at": row.read_at, "failed_at": row.failed_at, "error": row.error}
    return dict(found)
