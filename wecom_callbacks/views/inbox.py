"""The inbox in the API: look and replay."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from scrm.kernel.clock import utcnow
from scrm.kernel.http import api_blueprint, page_schema
from scrm.kernel.permissions import Permission, current_actor, needs
from wecom_callbacks.jobs import replay_and_wake
from wecom_callbacks.models import InboxRow
from wecom_callbacks.queries import inbox_page, inbox_row, inbox_stats, notices
from wecom_callbacks.schemas import (
    InboxDetail,
    InboxItem,
    InboxQuery,
    InboxStatsOut,
    InboxStatsQuery,
    NoticesOut,
    NoticesQuery,
    ReplayIn,
    ReplayOut,
)
from wecom_callbacks.service import Selection

blueprint = api_blueprint("inbox", "收件箱 callbacks received from WeCom")


@blueprint.route("/inbox", methods=["GET"])
@needs(Permission.INBOX_READ)
@blueprint.arguments(InboxQuery, location="query")
@blueprint.response(200, page_schema(InboxItem))
def list_inbox(query: dict[str, Any]) -> dict[str, Any]:
    """List received callbacks, newest first."""
    return inbox_page(query)


@blueprint.route("/inbox/stats", methods=["GET"])
@needs(Permission.INBOX_READ)
@blueprint.arguments(InboxStatsQuery, location="query")
@blueprint.response(200, InboxStatsOut)
def show_inbox_stats(query: dict[str, Any]) -> dict[str, Any]:
    """Count callbacks by event, with lag and reasons of ignored ones."""
    since = utcnow() - timedelta(hours=query["hours"])
    return {"since": since, "items": inbox_stats(since)}


@blueprint.route("/inbox/notices", methods=["GET"])
@needs(Permission.INBOX_READ)
@blueprint.arguments(NoticesQuery, location="query")
@blueprint.response(200, NoticesOut)
def list_notices(query: dict[str, Any]) -> dict[str, Any]:
    """Show what WeCom says there is to fetch: archive, uploads, imports."""
    return {"items": notices(**query)}


@blueprint.route("/inbox/<int:row_id>", methods=["GET"])
@needs(Permission.INBOX_READ)
@blueprint.response(200, InboxDetail)
def get_inbox_row(row_id: int) -> InboxRow:
    """Show one callback with its body, which may name any customer."""
    current_actor().require_everyone("callbacks concern")
    return inbox_row(row_id)


@blueprint.route("/inbox/replay", methods=["POST"])
@needs(Permission.INBOX_REPLAY)
@blueprint.arguments(ReplayIn)
@blueprint.response(200, ReplayOut)
def replay_inbox(chosen: dict[str, Any]) -> dict[str, Any]:
    """Have callbacks handled again; side effects whose moment has passed are skipped."""
    current_actor().require_everyone("callbacks concern")
    done = replay_and_wake(Selection(**chosen))
    return {"replayed": len(done.ids), "more": done.more}
