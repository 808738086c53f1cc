"""Messages and automatic replies in the API."""

from __future__ import annotations

from typing import Any

from scrm.conversations import queries
from scrm.conversations.models import AutoReply, Message
from scrm.conversations.schemas import (
    AutoReplyFields,
    AutoReplyIn,
    AutoReplyOut,
    AutoReplyQuery,
    MessageOut,
    MessageQuery,
    MessagesQuery,
)
from scrm.conversations.service import auto_replies
from scrm.kernel.db import transaction
from scrm.kernel.http import api_blueprint, idempotent, page_schema, paginate
from scrm.kernel.permissions import Permission, current_actor, needs

blueprint = api_blueprint("conversations", "Messages, and the rules that answer them by themselves")
MessagePage = page_schema(MessageOut)


@blueprint.route("/messages")
@needs(Permission.MESSAGES_READ)
@blueprint.arguments(MessagesQuery, location="query")
@blueprint.response(200, MessagePage)
def list_messages(query: dict[str, Any]) -> Any:
    """Messages, newest first."""
    return paginate(queries.message_list(current_actor().scope, query), Message.id, query)


@blueprint.route("/customers/<int:customer_id>/messages")
@needs(Permission.MESSAGES_READ)
@blueprint.arguments(MessageQuery, location="query")
@blueprint.response(200, MessagePage)
def list_customer_messages(query: dict[str, Any], customer_id: int) -> Any:
    """Messages of one customer, newest first."""
    found = queries.customer_message_list(current_actor().scope, customer_id, query)
    return paginate(found, Message.id, query)


@blueprint.route("/auto-replies")
@needs(Permission.AUTO_REPLIES_READ)
@blueprint.arguments(AutoReplyQuery, location="query")
@blueprint.response(200, page_schema(AutoReplyOut))
def list_auto_replies(query: dict[str, Any]) -> Any:
    """Rules, newest first."""
    return paginate(queries.auto_reply_list(query), AutoReply.id, query)


@blueprint.route("/auto-replies", methods=["POST"])
@needs(Permission.AUTO_REPLIES_WRITE)
@idempotent
@blueprint.arguments(AutoReplyIn)
@blueprint.response(201, AutoReplyOut)
def create_auto_reply(data: dict[str, Any]) -> Any:
    """Make a rule."""
    return queries.auto_reply_detail(auto_replies.create_auto_reply(data).id)


@blueprint.route("/auto-replies/<int:auto_reply_id>")
@needs(Permission.AUTO_REPLIES_READ)
@blueprint.response(200, AutoReplyOut)
def get_auto_reply(auto_reply_id: int) -> Any:
    """One rule."""
    return queries.auto_reply_detail(auto_reply_id)


@blueprint.route("/auto-replies/<int:auto_reply_id>", methods=["PATCH"])
@needs(Permission.AUTO_REPLIES_WRITE)
@blueprint.arguments(AutoReplyFields)
@blueprint.response(200, AutoReplyOut)
def change_auto_reply(data: dict[str, Any], auto_reply_id: int) -> Any:
    """Change the given fields of a rule."""
    with transaction():
        auto_replies.change_auto_reply(auto_reply_id, data)
    return queries.auto_reply_detail(auto_reply_id)


@blueprint.route("/auto-replies/<int:auto_reply_id>", methods=["DELETE"])
@needs(Permission.AUTO_REPLIES_WRITE)
@blueprint.response(204)
def delete_auto_reply(auto_reply_id: int) -> None:
    """Take a rule away."""
    with transaction():
        auto_replies.delete_auto_reply(auto_reply_id)
