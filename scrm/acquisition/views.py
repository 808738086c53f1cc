"""Channel codes, their statistics, welcome messages and welcomes in the API."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from scrm.acquisition.models import ChannelCode, FoundWay, Welcome, WelcomeMessage
from scrm.acquisition.queries import codes as code_queries
from scrm.acquisition.queries import statistics, welcomes
from scrm.acquisition.schemas.codes import (
    ChannelCodeDriftIn,
    ChannelCodeFields,
    ChannelCodeFolderFields,
    ChannelCodeFolderList,
    ChannelCodeFolderOrderIn,
    ChannelCodeFolderOut,
    ChannelCodeIn,
    ChannelCodeOut,
    ChannelCodePictureQuery,
    ChannelCodeQuery,
    ChannelCodesMoveIn,
    FoundWayOut,
    FoundWayQuery,
    WaysAdoptIn,
)
from scrm.acquisition.schemas.exchange import (
    ChannelCodesExportQuery,
    ChannelCodesImportIn,
    ChannelCodesImportOut,
)
from scrm.acquisition.schemas.statistics import (
    ChannelCodeFairnessOut,
    ChannelCodeOverviewOut,
    ChannelCodeSpanQuery,
    ChannelCodeStatisticsOut,
    ChannelCodeStatisticsQuery,
)
from scrm.acquisition.schemas.welcomes import (
    WelcomeMessageFields,
    WelcomeMessageIn,
    WelcomeMessageOut,
    WelcomeOut,
    WelcomeQuery,
)
from scrm.acquisition.service import (
    adoption,
    channel_codes,
    code_groups,
    exchange,
    pictures,
    welcome_messages,
)
from scrm.kernel.db import transaction
from scrm.kernel.http import PageQuery, api_blueprint, idempotent, page_schema, paginate
from scrm.kernel.permissions import Permission, current_actor, needs
from scrm.media.service.showing import check_shown

blueprint = api_blueprint(
    "acquisition", "渠道活码 channel codes, 欢迎语 welcome messages and what became of welcomes"
)
PICTURES = {"png": "image/png", "svg": "image/svg+xml"}


def _detail(code_id: int) -> Any:
    return code_queries.channel_code_detail(current_actor().scope, code_id)


@blueprint.route("/channel-codes")
@needs(Permission.CHANNEL_CODES_READ)
@blueprint.arguments(ChannelCodeQuery, location="query")
@blueprint.response(200, page_schema(ChannelCodeOut))
def list_channel_codes(query: dict[str, Any]) -> Any:
    """Channel codes, newest first; deleted ones only with ``status=deleted``."""
    return paginate(code_queries.channel_code_list(current_actor().scope, query), ChannelCode.id, query)


@blueprint.route("/channel-codes", methods=["POST"])
@needs(Permission.CHANNEL_CODES_WRITE)
@idempotent
@blueprint.arguments(ChannelCodeIn)
@blueprint.response(201, ChannelCodeOut)
def create_channel_code(data: dict[str, Any]) -> Any:
    """Make a channel code; its picture is there once ``status`` is ``active``."""
    return _detail(channel_codes.create_channel_code(data).id)


@blueprint.route("/channel-codes/<int:code_id>")
@needs(Permission.CHANNEL_CODES_READ)
@blueprint.response(200, ChannelCodeOut)
def get_channel_code(code_id: int) -> Any:
    """One channel code."""
    return _detail(code_id)


@blueprint.route("/channel-codes/<int:code_id>", methods=["PATCH"])
@needs(Permission.CHANNEL_CODES_WRITE)
@blueprint.arguments(ChannelCodeFields)
@blueprint.response(200, ChannelCodeOut)
def change_channel_code(data: dict[str, Any], code_id: int) -> Any:
    """Change the given fields; on a code WeCom refused, this tries again."""
    with transaction():
        channel_codes.change_channel_code(code_id, data)
    return _detail(code_id)


@blueprint.route("/channel-codes/<int:code_id>", methods=["DELETE"])
@needs(Permission.CHANNEL_CODES_WRITE)
@blueprint.response(204)
def delete_channel_code(code_id: int) -> None:
    """Take a channel code away, here and at WeCom."""
    with transaction():
        channel_codes.delete_channel_code(code_id)


@blueprint.route("/channel-codes/<int:code_id>/qr.<any(png, svg):kind>")
@needs(Permission.CHANNEL_CODES_READ)
@blueprint.arguments(ChannelCodePictureQuery, location="query")
@blueprint.response(200, content_type="image/*", description="the QR code")
def get_picture(query: dict[str, Any], code_id: int, kind: str) -> Response:
    """The QR code, drawn at the size wanted; 409 until WeCom has made it."""
    content = pictures.qr_picture(code_id, kind, size=query["size"], error=query["error"])
    answer = Response(content, content_type=PICTURES[kind])
    answer.headers["Content-Disposition"] = f'inline; filename="channel-code-{code_id}.{kind}"'
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.add_etag()
    answer.make_conditional(request)
    return answer


@blueprint.route("/channel-codes/<int:code_id>/recreate", methods=["POST"])
@needs(Permission.CHANNEL_CODES_WRITE)
@blueprint.response(200, ChannelCodeOut)
def recreate_channel_code(code_id: int) -> Any:
    """Make a code anew that vanished at WeCom (``status`` missing); it gets another picture."""
    with transaction():
        channel_codes.recreate_channel_code(code_id)
    return _detail(code_id)


@blueprint.route("/channel-codes/<int:code_id>/drift", methods=["POST"])
@needs(Permission.CHANNEL_CODES_WRITE)
@blueprint.arguments(ChannelCodeDriftIn)
@blueprint.response(200, ChannelCodeOut)
def settle_drift(data: dict[str, Any], code_id: int) -> Any:
    """Say which side is right where somebody changed the code at WeCom."""
    with transaction():
        adoption.settle_drift(code_id, data["keep"])
    return _detail(code_id)


@blueprint.route("/channel-codes/move", methods=["POST"])
@needs(Permission.CHANNEL_CODES_WRITE)
@blueprint.arguments(ChannelCodesMoveIn)
@blueprint.response(204)
def move_channel_codes(data: dict[str, Any]) -> None:
    """Put codes into a folder, or into none."""
    with transaction():
        channel_codes.move_channel_codes(data["code_ids"], data["group_id"])


@blueprint.route("/channel-codes/found")
@needs(Permission.CHANNEL_CODES_READ)
@blueprint.arguments(FoundWayQuery, location="query")
@blueprint.response(200, page_schema(FoundWayOut))
def list_found_ways(query: dict[str, Any]) -> Any:
    """Contact ways that WeCom showed and that are none of our codes, newest first."""
    return paginate(code_queries.found_way_list(query), FoundWay.id, query)


@blueprint.route("/channel-codes/adopt", methods=["POST"])
@needs(Permission.CHANNEL_CODES_WRITE)
@blueprint.arguments(WaysAdoptIn)
@blueprint.response(201, ChannelCodeOut(many=True))
def adopt_ways(data: dict[str, Any]) -> Any:
    """Make channel codes of contact ways that were found."""
    with transaction():
        ids = [code.id for code in adoption.adopt(data["config_ids"], data.get("group_id"))]
    return [_detail(id_) for id_ in ids]


@blueprint.route("/channel-codes/export")
@needs(Permission.CHANNEL_CODES_READ)
@blueprint.arguments(ChannelCodesExportQuery, location="query")
@blueprint.response(200, content_type="text/csv", description="CSV, or JSON with format=json")
def export_channel_codes(query: dict[str, Any]) -> Response:
    """All channel codes as a file that can be imported elsewhere; members by userid, tags by name."""
    content, kind = exchange.export_codes(query["format"])
    answer = Response(content, content_type=kind)
    answer.headers["Content-Disposition"] = f'attachment; filename="channel-codes.{query["format"]}"'
    return answer


@blueprint.route("/channel-codes/import", methods=["POST"])
@needs(Permission.CHANNEL_CODES_WRITE)
@idempotent
@blueprint.arguments(ChannelCodesImportIn)
@blueprint.response(200, ChannelCodesImportOut)
def import_channel_codes(data: dict[str, Any]) -> Any:
    """Make many codes at once; with ``dry_run``, or when any row is wrong, none is made and every problem is told."""
    return exchange.import_codes(data["format"], data["content"], dry_run=data["dry_run"])


@blueprint.route("/channel-codes/statistics")
@needs(Permission.CHANNEL_CODES_READ)
@blueprint.arguments(ChannelCodeSpanQuery, location="query")
@blueprint.response(200, ChannelCodeOverviewOut)
def get_overview(query: dict[str, Any]) -> Any:
    """What came of every code in a span of days, of the staff of your data scope."""
    return statistics.overview(current_actor().scope, query)


@blueprint.route("/channel-codes/<int:code_id>/statistics")
@needs(Permission.CHANNEL_CODES_READ)
@blueprint.arguments(ChannelCodeStatisticsQuery, location="query")
@blueprint.response(200, ChannelCodeStatisticsOut)
def get_statistics(query: dict[str, Any], code_id: int) -> Any:
    """What came of one code by day or by member, of the staff of your data scope."""
    _detail(code_id)
    return statistics.code_statistics(current_actor().scope, code_id, query)


@blueprint.route("/channel-codes/<int:code_id>/fairness")
@needs(Permission.CHANNEL_CODES_READ)
@blueprint.arguments(ChannelCodeSpanQuery, location="query")
@blueprint.response(200, ChannelCodeFairnessOut)
def get_fairness(query: dict[str, Any], code_id: int) -> Any:
    """How evenly newcomers were given to members, against their time on duty."""
    _detail(code_id)
    return statistics.fairness(current_actor().scope, code_id, query)


@blueprint.route("/channel-code-groups")
@needs(Permission.CHANNEL_CODES_READ)
@blueprint.response(200, ChannelCodeFolderList)
def list_code_groups() -> Any:
    """Folders of channel codes, in order."""
    return {"items": code_queries.group_list()}


@blueprint.route("/channel-code-groups", methods=["POST"])
@needs(Permission.CHANNEL_CODES_WRITE)
@idempotent
@blueprint.arguments(ChannelCodeFolderFields)
@blueprint.response(201, ChannelCodeFolderOut)
def create_code_group(data: dict[str, Any]) -> Any:
    """Make a folder, below all others."""
    return code_queries.group_detail(code_groups.create_code_group(data["name"]).id)


@blueprint.route("/channel-code-groups/<int:group_id>", methods=["PATCH"])
@needs(Permission.CHANNEL_CODES_WRITE)
@blueprint.arguments(ChannelCodeFolderFields)
@blueprint.response(200, ChannelCodeFolderOut)
def rename_code_group(data: dict[str, Any], group_id: int) -> Any:
    """Give a folder another name."""
    with transaction():
        code_groups.rename_code_group(group_id, data["name"])
    return code_queries.group_detail(group_id)


@blueprint.route("/channel-code-groups/<int:group_id>", methods=["DELETE"])
@needs(Permission.CHANNEL_CODES_WRITE)
@blueprint.response(204)
def delete_code_group(group_id: int) -> None:
    """Take a folder away; its codes stay, in none."""
    with transaction():
        code_groups.delete_code_group(group_id)


@blueprint.route("/channel-code-groups/order", methods=["PUT"])
@needs(Permission.CHANNEL_CODES_WRITE)
@blueprint.arguments(ChannelCodeFolderOrderIn)
@blueprint.response(200, ChannelCodeFolderList)
def order_code_groups(data: dict[str, Any]) -> Any:
    """Put folders into an order."""
    with transaction():
        code_groups.order_code_groups(data["ids"])
    return {"items": code_queries.group_list()}


@blueprint.route("/welcome-messages")
@needs(Permission.WELCOME_READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(WelcomeMessageOut))
def list_welcome_messages(query: dict[str, Any]) -> Any:
    """Welcome messages, newest first."""
    return paginate(welcomes.welcome_message_list(), WelcomeMessage.id, query)


@blueprint.route("/welcome-messages", methods=["POST"])
@needs(Permission.WELCOME_WRITE)
@idempotent
@blueprint.arguments(WelcomeMessageIn)
@blueprint.response(201, WelcomeMessageOut)
def create_welcome_message(data: dict[str, Any]) -> Any:
    """Make a welcome message."""
    check_shown(current_actor(), data.get("attachments") or [])
    return welcome_messages.create_welcome_message(data)


@blueprint.route("/welcome-messages/<int:welcome_id>")
@needs(Permission.WELCOME_READ)
@blueprint.response(200, WelcomeMessageOut)
def get_welcome_message(welcome_id: int) -> Any:
    """One welcome message."""
    return welcomes.welcome_message_detail(welcome_id)


@blueprint.route("/welcome-messages/<int:welcome_id>", methods=["PATCH"])
@needs(Permission.WELCOME_WRITE)
@blueprint.arguments(WelcomeMessageFields)
@blueprint.response(200, WelcomeMessageOut)
def change_welcome_message(data: dict[str, Any], welcome_id: int) -> Any:
    """Change the given fields."""
    with transaction():
        check_shown(current_actor(), data.get("attachments") or [])
        welcome_messages.change_welcome_message(welcome_id, data)
    return welcomes.welcome_message_detail(welcome_id)


@blueprint.route("/welcome-messages/<int:welcome_id>", methods=["DELETE"])
@needs(Permission.WELCOME_WRITE)
@blueprint.response(204)
def delete_welcome_message(welcome_id: int) -> None:
    """Take a welcome message away that no channel code uses."""
    with transaction():
        welcome_messages.delete_welcome_message(welcome_id)


@blueprint.route("/welcomes")
@needs(Permission.WELCOME_READ)
@blueprint.arguments(WelcomeQuery, location="query")
@blueprint.response(200, page_schema(WelcomeOut))
def list_welcomes(query: dict[str, Any]) -> Any:
    """What became of welcomes, newest first, with the reason of every miss."""
    return paginate(welcomes.welcome_list(current_actor().scope, query), Welcome.id, query)
