"""Acquisition links in the API."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from scrm.acquisition_links.models import AcquisitionLink, LinkArrival, LinkChannel, LinkEvent
from scrm.acquisition_links.queries import figures
from scrm.acquisition_links.queries import links as queries
from scrm.acquisition_links.schemas import (
    AcquisitionLinkFields,
    AcquisitionLinkIn,
    AcquisitionLinkOut,
    ArrivalQuery,
    ChannelQuery,
    DaysQuery,
    EventQuery,
    LinkArrivalOut,
    LinkChannelChange,
    LinkChannelIn,
    LinkChannelOut,
    LinkEventOut,
    LinkQuery,
    LinkQuotaOut,
    LinkReadingsOut,
    LinksOverviewOut,
    LinkStatisticsOut,
)
from scrm.acquisition_links.service import links, readings
from scrm.kernel.clock import in_zone, utcnow
from scrm.kernel.db import transaction
from scrm.kernel.http import api_blueprint, idempotent, page_schema, paginate
from scrm.kernel.permissions import Permission, current_actor, needs
from scrm.kernel.settings import settings

blueprint = api_blueprint(
    "acquisition-links", "获客链接 acquisition links, their channels, figures and quota"
)
DAYS = 30
URL = "/acquisition-links"


@blueprint.route(URL)
@needs(Permission.ACQUISITION_LINKS_READ)
@blueprint.arguments(LinkQuery, location="query")
@blueprint.response(200, page_schema(AcquisitionLinkOut))
def list_links(query: dict[str, Any]) -> Any:
    """Links, newest first; deleted ones only with ``status=deleted``."""
    return paginate(queries.link_list(query), AcquisitionLink.id, query)


@blueprint.route(URL, methods=["POST"])
@needs(Permission.ACQUISITION_LINKS_WRITE)
@idempotent
@blueprint.arguments(AcquisitionLinkIn)
@blueprint.response(201, AcquisitionLinkOut)
def create_link(data: dict[str, Any]) -> Any:
    """Make a link; its address is there once ``status`` is ``active``."""
    return queries.link_detail(links.create_link(data).id)


@blueprint.route(f"{URL}/read", methods=["POST"])
@needs(Permission.ACQUISITION_LINKS_WRITE)
@blueprint.response(202, LinkReadingsOut)
def read_links() -> Any:
    """Have links and quota read from WeCom now; links made elsewhere are adopted. Answers when what was last read."""
    with transaction():
        readings.want_all()
    return queries.readings()


@blueprint.route(f"{URL}/readings")
@needs(Permission.ACQUISITION_LINKS_READ)
@blueprint.response(200, LinkReadingsOut)
def show_readings() -> Any:
    """When links, quota, figures and customers were last read from WeCom, and why it failed where it did."""
    return queries.readings()


@blueprint.route(f"{URL}/quota")
@needs(Permission.ACQUISITION_LINKS_READ)
@blueprint.response(200, LinkQuotaOut)
def show_quota() -> Any:
    """The quota: what is left, when it expires, how long it lasts by recent use."""
    return figures.quota_now()


@blueprint.route(f"{URL}/overview")
@needs(Permission.ACQUISITION_LINKS_READ)
@blueprint.arguments(DaysQuery, location="query")
@blueprint.response(200, LinksOverviewOut)
def overview_of_links(query: dict[str, Any]) -> Any:
    """The funnel of every link, the one with most adds first."""
    return {"items": figures.links_overview(current_actor().scope, *_days(query))}


@blueprint.route(f"{URL}/events")
@needs(Permission.ACQUISITION_LINKS_READ)
@blueprint.arguments(EventQuery, location="query")
@blueprint.response(200, page_schema(LinkEventOut))
def list_events(query: dict[str, Any]) -> Any:
    """What WeCom told about links, newest row first."""
    return paginate(queries.event_list(current_actor().scope, query), LinkEvent.id, query)


@blueprint.route(f"{URL}/<int:link_id>")
@needs(Permission.ACQUISITION_LINKS_READ)
@blueprint.response(200, AcquisitionLinkOut)
def get_link(link_id: int) -> Any:
    """One link."""
    return queries.link_detail(link_id)


@blueprint.route(f"{URL}/<int:link_id>", methods=["PATCH"])
@needs(Permission.ACQUISITION_LINKS_WRITE)
@blueprint.arguments(AcquisitionLinkFields)
@blueprint.response(200, AcquisitionLinkOut)
def change_link(data: dict[str, Any], link_id: int) -> Any:
    """Change the given fields; on a link WeCom refused, this tries again."""
    with transaction():
        links.change_link(link_id, data)
    return queries.link_detail(link_id)


@blueprint.route(f"{URL}/<int:link_id>", methods=["DELETE"])
@needs(Permission.ACQUISITION_LINKS_WRITE)
@blueprint.response(204)
def delete_link(link_id: int) -> None:
    """Take a link away, here and at WeCom; its figures stay."""
    with transaction():
        links.delete_link(link_id)


@blueprint.route(f"{URL}/<int:link_id>/statistics")
@needs(Permission.ACQUISITION_LINKS_READ)
@blueprint.arguments(DaysQuery, location="query")
@blueprint.response(200, LinkStatisticsOut)
def statistics_of_link(query: dict[str, Any], link_id: int) -> Any:
    """The funnel of one link: in total, by day, by channel."""
    return figures.link_statistics(current_actor().scope, link_id, *_days(query))


@blueprint.route(f"{URL}/<int:link_id>/customers")
@needs(Permission.ACQUISITION_LINKS_READ)
@blueprint.arguments(ArrivalQuery, location="query")
@blueprint.response(200, page_schema(LinkArrivalOut))
def list_customers(query: dict[str, Any], link_id: int) -> Any:
    """Who came through a link, the newest relation first."""
    return paginate(queries.arrival_list(current_actor().scope, link_id, query), LinkArrival.follow_id, query)


@blueprint.route(f"{URL}/<int:link_id>/channels")
@needs(Permission.ACQUISITION_LINKS_READ)
@blueprint.arguments(ChannelQuery, location="query")
@blueprint.response(200, page_schema(LinkChannelOut))
def list_channels(query: dict[str, Any], link_id: int) -> Any:
    """Channels of a link, newest first, with the addresses to give out."""
    page = paginate(queries.channel_list(link_id, query), LinkChannel.id, query)
    return {**page, "items": queries.with_addresses(page["items"])}


@blueprint.route(f"{URL}/<int:link_id>/channels", methods=["POST"])
@needs(Permission.ACQUISITION_LINKS_WRITE)
@idempotent
@blueprint.arguments(LinkChannelIn)
@blueprint.response(201, LinkChannelOut)
def create_channel(data: dict[str, Any], link_id: int) -> Any:
    """Make a channel: the same link under another address, with tags and a welcome of its own. WeCom is not called."""
    return queries.channel_detail(links.create_channel(link_id, data).id)


@blueprint.route("/link-channels/<int:channel_id>")
@needs(Permission.ACQUISITION_LINKS_READ)
@blueprint.response(200, LinkChannelOut)
def get_channel(channel_id: int) -> Any:
    """One channel."""
    return queries.channel_detail(channel_id)


@blueprint.route("/link-channels/<int:channel_id>", methods=["PATCH"])
@needs(Permission.ACQUISITION_LINKS_WRITE)
@blueprint.arguments(LinkChannelChange)
@blueprint.response(200, LinkChannelOut)
def change_channel(data: dict[str, Any], channel_id: int) -> Any:
    """Change name, tags or welcome, or archive the channel; its state stays."""
    with transaction():
        links.change_channel(channel_id, data)
    return queries.channel_detail(channel_id)


def _days(query: dict[str, Any]) -> tuple[date, date]:
    until = query.get("until") or in_zone(utcnow(), settings().corp.zone).date()
    return query.get("since") or until - timedelta(days=DAYS - 1), until
