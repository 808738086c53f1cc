"""Group codes and entry welcomes in the API."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flask import Response, request

from scrm.group_entry import queries
from scrm.group_entry.models import EntryWelcome, EntryWelcomeGroup, GroupCode
from scrm.group_entry.schemas import (
    EntryWelcomeAssignIn,
    EntryWelcomeAttachedIn,
    EntryWelcomeFields,
    EntryWelcomeIn,
    EntryWelcomeOut,
    EntryWelcomeQuery,
    GroupCodeFields,
    GroupCodeIn,
    GroupCodeOut,
    GroupCodePictureQuery,
    GroupCodeQuery,
    GroupCodesOverviewOut,
    GroupCodeStatisticsOut,
    PeriodQuery,
    WaitingOwnersOut,
    WelcomeGroupOut,
    WelcomeGroupQuery,
)
from scrm.group_entry.service import assignments, entry_welcomes, group_codes, pictures
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.kernel.http import api_blueprint, idempotent, page_schema, paginate
from scrm.kernel.permissions import Permission, current_actor, needs

blueprint = api_blueprint("group-entry", "群活码 group codes, 入群欢迎语 entry welcomes of groups")
PERIOD = timedelta(days=30)
PICTURES = {"png": "image/png", "svg": "image/svg+xml"}


@blueprint.route("/group-codes")
@needs(Permission.GROUP_CODES_READ)
@blueprint.arguments(GroupCodeQuery, location="query")
@blueprint.response(200, page_schema(GroupCodeOut))
def list_group_codes(query: dict[str, Any]) -> Any:
    """Group codes, newest first; deleted ones only with ``status=deleted``."""
    page = paginate(queries.group_code_list(query), GroupCode.id, query)
    queries.with_groups(current_actor().scope, page["items"])
    return page


@blueprint.route("/group-codes", methods=["POST"])
@needs(Permission.GROUP_CODES_WRITE)
@idempotent
@blueprint.arguments(GroupCodeIn)
@blueprint.response(201, GroupCodeOut)
def create_group_code(data: dict[str, Any]) -> Any:
    """Make a group code; its picture (``qr_code``) is there once ``status`` is ``active``."""
    return queries.group_code_detail(current_actor().scope, group_codes.create_group_code(data).id)


@blueprint.route("/group-codes/overview")
@needs(Permission.GROUP_CODES_READ)
@blueprint.arguments(PeriodQuery, location="query")
@blueprint.response(200, GroupCodesOverviewOut)
def overview_of_group_codes(query: dict[str, Any]) -> Any:
    """The figures of every code, the most used first."""
    return {"items": queries.overview(current_actor().scope, *_period(query))}


@blueprint.route("/group-codes/<int:code_id>")
@needs(Permission.GROUP_CODES_READ)
@blueprint.response(200, GroupCodeOut)
def get_group_code(code_id: int) -> Any:
    """One group code with the groups behind it."""
    return queries.group_code_detail(current_actor().scope, code_id)


@blueprint.route("/group-codes/<int:code_id>", methods=["PATCH"])
@needs(Permission.GROUP_CODES_WRITE)
@blueprint.arguments(GroupCodeFields)
@blueprint.response(200, GroupCodeOut)
def change_group_code(data: dict[str, Any], code_id: int) -> Any:
    """Change the given fields (``groups``: all of them); on a code WeCom refused, this tries again."""
    with transaction():
        group_codes.change_group_code(code_id, data)
    return queries.group_code_detail(current_actor().scope, code_id)


@blueprint.route("/group-codes/<int:code_id>", methods=["DELETE"])
@needs(Permission.GROUP_CODES_WRITE)
@blueprint.response(204)
def delete_group_code(code_id: int) -> None:
    """Take a group code away, here and at WeCom; the groups stay."""
    with transaction():
        group_codes.delete_group_code(code_id)


@blueprint.route("/group-codes/<int:code_id>/qr.<any(png, svg):kind>")
@needs(Permission.GROUP_CODES_READ)
@blueprint.arguments(GroupCodePictureQuery, location="query")
@blueprint.response(200, content_type="image/*", description="the QR code")
def get_group_code_picture(query: dict[str, Any], code_id: int, kind: str) -> Response:
    """The QR code, drawn at the size wanted; 409 until WeCom has made it."""
    content = pictures.qr_picture(code_id, kind, size=query["size"], error=query["error"])
    answer = Response(content, content_type=PICTURES[kind])
    answer.headers["Content-Disposition"] = f'inline; filename="group-code-{code_id}.{kind}"'
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.add_etag()
    answer.make_conditional(request)
    return answer


@blueprint.route("/group-codes/<int:code_id>/statistics")
@needs(Permission.GROUP_CODES_READ)
@blueprint.arguments(PeriodQuery, location="query")
@blueprint.response(200, GroupCodeStatisticsOut)
def statistics_of_group_code(query: dict[str, Any], code_id: int) -> Any:
    """Joins, who stayed, who left and who became a customer: in total, by group, by day and group."""
    return queries.statistics(current_actor().scope, code_id, *_period(query))


def _period(query: dict[str, Any]) -> tuple[datetime, datetime]:
    until = query.get("until") or utcnow()
    return query.get("since") or until - PERIOD, until


@blueprint.route("/entry-welcomes")
@needs(Permission.WELCOME_READ)
@blueprint.arguments(EntryWelcomeQuery, location="query")
@blueprint.response(200, page_schema(EntryWelcomeOut))
def list_entry_welcomes(query: dict[str, Any]) -> Any:
    """Entry welcomes, newest first; deleted ones only with ``status=deleted``."""
    return paginate(queries.entry_welcome_list(query), EntryWelcome.id, query)


@blueprint.route("/entry-welcomes", methods=["POST"])
@needs(Permission.WELCOME_WRITE)
@idempotent
@blueprint.arguments(EntryWelcomeIn)
@blueprint.response(201, EntryWelcomeOut)
def create_entry_welcome(data: dict[str, Any]) -> Any:
    """Make an entry welcome; owners attach it to their groups once ``status`` is ``active``."""
    return queries.entry_welcome_detail(entry_welcomes.create_entry_welcome(data).id)


@blueprint.route("/entry-welcomes/<int:welcome_id>")
@needs(Permission.WELCOME_READ)
@blueprint.response(200, EntryWelcomeOut)
def get_entry_welcome(welcome_id: int) -> Any:
    """One entry welcome."""
    return queries.entry_welcome_detail(welcome_id)


@blueprint.route("/entry-welcomes/<int:welcome_id>", methods=["PATCH"])
@needs(Permission.WELCOME_WRITE)
@blueprint.arguments(EntryWelcomeFields)
@blueprint.response(200, EntryWelcomeOut)
def change_entry_welcome(data: dict[str, Any], welcome_id: int) -> Any:
    """Change the given fields; groups it is attached to say the new words at once."""
    with transaction():
        entry_welcomes.change_entry_welcome(welcome_id, data)
    return queries.entry_welcome_detail(welcome_id)


@blueprint.route("/entry-welcomes/<int:welcome_id>", methods=["DELETE"])
@needs(Permission.WELCOME_WRITE)
@blueprint.response(204)
def delete_entry_welcome(welcome_id: int) -> None:
    """Take an entry welcome away, here and at WeCom."""
    with transaction():
        entry_welcomes.delete_entry_welcome(welcome_id)


@blueprint.route("/entry-welcomes/<int:welcome_id>/groups", methods=["PUT"])
@needs(Permission.WELCOME_WRITE)
@blueprint.arguments(EntryWelcomeAssignIn)
@blueprint.response(204)
def assign_groups(data: dict[str, Any], welcome_id: int) -> None:
    """Say for which groups it is meant; the owners of new ones are asked to attach it."""
    with transaction():
        assignments.assign_groups(welcome_id, data["group_ids"])


@blueprint.route("/entry-welcomes/<int:welcome_id>/groups/<int:group_id>", methods=["PATCH"])
@needs(Permission.WELCOME_WRITE)
@blueprint.arguments(EntryWelcomeAttachedIn)
@blueprint.response(204)
def note_attached(data: dict[str, Any], welcome_id: int, group_id: int) -> None:
    """Say that somebody attached it to the group in the client, or that it is not attached after all."""
    with transaction():
        assignments.note_attached(welcome_id, group_id, current_actor().name, attached=data["attached"])


@blueprint.route("/entry-welcome-groups")
@needs(Permission.WELCOME_READ)
@blueprint.arguments(WelcomeGroupQuery, location="query")
@blueprint.response(200, page_schema(WelcomeGroupOut))
def list_welcome_groups(query: dict[str, Any]) -> Any:
    """Groups with the entry welcome they are meant to say; ``waiting=true``: where nobody attached it yet."""
    return paginate(
        queries.welcome_group_list(current_actor().scope, query), EntryWelcomeGroup.group_id, query
    )


@blueprint.route("/entry-welcome-groups/owners")
@needs(Permission.WELCOME_READ)
@blueprint.response(200, WaitingOwnersOut)
def list_waiting_owners() -> Any:
    """Owners whose groups still wait for their entry welcome."""
    return {"items": queries.waiting_owners(current_actor().scope)}
