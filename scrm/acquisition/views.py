"""Channel codes, welcome messages and welcomes in the API."""

from __future__ import annotations

from typing import Any

from scrm.acquisition import queries
from scrm.acquisition.models import ChannelCode, Welcome, WelcomeMessage
from scrm.acquisition.schemas import (
    ChannelCodeFields,
    ChannelCodeIn,
    ChannelCodeOut,
    ChannelCodeQuery,
    WelcomeMessageFields,
    WelcomeMessageIn,
    WelcomeMessageOut,
    WelcomeOut,
    WelcomeQuery,
)
from scrm.acquisition.service import channel_codes, welcome_messages
from scrm.kernel.db import transaction
from scrm.kernel.http import PageQuery, api_blueprint, idempotent, page_schema, paginate
from scrm.kernel.permissions import Permission, current_actor, needs

blueprint = api_blueprint(
    "acquisition", "渠道活码 channel codes, 欢迎语 welcome messages and what became of welcomes"
)


@blueprint.route("/channel-codes")
@needs(Permission.CHANNEL_CODES_READ)
@blueprint.arguments(ChannelCodeQuery, location="query")
@blueprint.response(200, page_schema(ChannelCodeOut))
def list_channel_codes(query: dict[str, Any]) -> Any:
    """Channel codes, newest first; deleted ones only with ``status=deleted``."""
    return paginate(queries.channel_code_list(query), ChannelCode.id, query)


@blueprint.route("/channel-codes", methods=["POST"])
@needs(Permission.CHANNEL_CODES_WRITE)
@idempotent
@blueprint.arguments(ChannelCodeIn)
@blueprint.response(201, ChannelCodeOut)
def create_channel_code(data: dict[str, Any]) -> Any:
    """Make a channel code; its picture (``qr_code``) is there once ``status`` is ``active``."""
    return queries.channel_code_detail(channel_codes.create_channel_code(data).id)


@blueprint.route("/channel-codes/<int:code_id>")
@needs(Permission.CHANNEL_CODES_READ)
@blueprint.response(200, ChannelCodeOut)
def get_channel_code(code_id: int) -> Any:
    """One channel code."""
    return queries.channel_code_detail(code_id)


@blueprint.route("/channel-codes/<int:code_id>", methods=["PATCH"])
@needs(Permission.CHANNEL_CODES_WRITE)
@blueprint.arguments(ChannelCodeFields)
@blueprint.response(200, ChannelCodeOut)
def change_channel_code(data: dict[str, Any], code_id: int) -> Any:
    """Change the given fields; on a code WeCom refused, this tries again."""
    with transaction():
        channel_codes.change_channel_code(code_id, data)
    return queries.channel_code_detail(code_id)


@blueprint.route("/channel-codes/<int:code_id>", methods=["DELETE"])
@needs(Permission.CHANNEL_CODES_WRITE)
@blueprint.response(204)
def delete_channel_code(code_id: int) -> None:
    """Take a channel code away, here and at WeCom."""
    with transaction():
        channel_codes.delete_channel_code(code_id)


@blueprint.route("/welcome-messages")
@needs(Permission.WELCOME_READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(WelcomeMessageOut))
def list_welcome_messages(query: dict[str, Any]) -> Any:
    """Welcome messages, newest first."""
    return paginate(queries.welcome_message_list(), WelcomeMessage.id, query)


@blueprint.route("/welcome-messages", methods=["POST"])
@needs(Permission.WELCOME_WRITE)
@idempotent
@blueprint.arguments(WelcomeMessageIn)
@blueprint.response(201, WelcomeMessageOut)
def create_welcome_message(data: dict[str, Any]) -> Any:
    """Make a welcome message."""
    return welcome_messages.create_welcome_message(data)


@blueprint.route("/welcome-messages/<int:welcome_id>")
@needs(Permission.WELCOME_READ)
@blueprint.response(200, WelcomeMessageOut)
def get_welcome_message(welcome_id: int) -> Any:
    """One welcome message."""
    return queries.welcome_message_detail(welcome_id)


@blueprint.route("/welcome-messages/<int:welcome_id>", methods=["PATCH"])
@needs(Permission.WELCOME_WRITE)
@blueprint.arguments(WelcomeMessageFields)
@blueprint.response(200, WelcomeMessageOut)
def change_welcome_message(data: dict[str, Any], welcome_id: int) -> Any:
    """Change the given fields."""
    with transaction():
        welcome_messages.change_welcome_message(welcome_id, data)
    return queries.welcome_message_detail(welcome_id)


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
    return paginate(queries.welcome_list(current_actor().scope, query), Welcome.id, query)
