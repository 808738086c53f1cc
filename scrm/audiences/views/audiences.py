"""Audiences in the API."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from scrm.audiences.models import AudienceExport, ExportFormat, ExportUse
from scrm.audiences.queries import audiences, exports, growth, members
from scrm.audiences.queries.export_columns import columns_for
from scrm.audiences.queries.lookalike import frequent_tags
from scrm.audiences.queries.overlap import audience_overlap
from scrm.audiences.queries.reasons import audiences_of_customer, explanation
from scrm.audiences.queries.users import refuse_limited
from scrm.audiences.schemas.audiences import (
    AudienceChangeIn,
    AudienceCountOut,
    AudienceDetailOut,
    AudienceExplainOut,
    AudienceHistoryOut,
    AudienceIn,
    AudienceListedOut,
    AudienceMemberOut,
    AudienceMembersIn,
    AudienceMembersOut,
    AudiencePreviewIn,
    AudiencePreviewOut,
    AudienceQuery,
    CustomerAudiencesOut,
)
from scrm.audiences.schemas.comparing import (
    AudienceOverlapIn,
    AudienceOverlapOut,
    FrequentTagQuery,
    FrequentTagsOut,
    GrowthOut,
    GrowthQuery,
)
from scrm.audiences.schemas.exports import (
    AudienceExportOut,
    ExportColumnsOut,
    ExportIn,
    ExportLogOut,
    ExportQuery,
)
from scrm.audiences.service import export_files, exporting, saving
from scrm.audiences.service import members as lists
from scrm.kernel.db import transaction
from scrm.kernel.errors import InvalidInput, NotFound
from scrm.kernel.http import PageQuery, api_blueprint, idempotent, page_schema
from scrm.kernel.permissions import Permission, current_actor, needs
from scrm.media.service.files import file_store
from tags.rules.compiler import validate_condition
from tags.rules.queries.veiling import refuse_unreadable
from tags.rules.schemas import ExplainIn

CONTENT_TYPES = {
    ExportFormat.CSV: "text/csv; charset=utf-8",
    ExportFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
blueprint = api_blueprint("audiences", "人群 audiences: saved conditions and lists of customers")


@blueprint.route("/audiences")
@needs(Permission.AUDIENCES_READ)
@blueprint.arguments(AudienceQuery, location="query")
@blueprint.response(200, page_schema(AudienceListedOut))
def list_audiences(query: dict[str, Any]) -> dict[str, Any]:
    """Audiences, newest first, with what the last daily look counted."""
    return audiences.audience_page(current_actor(), query)


@blueprint.route("/audiences", methods=["POST"])
@needs(Permission.AUDIENCES_WRITE)
@idempotent
@blueprint.arguments(AudienceIn)
@blueprint.response(201, AudienceDetailOut)
def create_audience(data: dict[str, Any]) -> dict[str, Any]:
    """Save a condition under a name, or make an empty list."""
    _refuse_unreadable(data)
    return audiences.audience_detail(current_actor(), saving.create_audience(data, current_actor().name).id)


@blueprint.route("/audiences/preview", methods=["POST"])
@needs(Permission.AUDIENCES_READ)
@blueprint.arguments(AudiencePreviewIn)
@blueprint.response(200, AudiencePreviewOut)
def preview_audience(data: dict[str, Any]) -> dict[str, Any]:
    """How many customers of this key a condition holds for, and some of them with reasons; nothing is saved."""
    with transaction():
        _refuse_unreadable(data)
        validate_condition(data["condition"])
        return members.preview(current_actor(), data["condition"], data["sample"])


@blueprint.route("/audiences/<int:audience_id>")
@needs(Permission.AUDIENCES_READ)
@blueprint.response(200, AudienceDetailOut)
def get_audience(audience_id: int) -> dict[str, Any]:
    """One audience, with everything unfinished that uses it."""
    return audiences.audience_detail(current_actor(), audience_id)


@blueprint.route("/audiences/<int:audience_id>", methods=["PATCH"])
@needs(Permission.AUDIENCES_WRITE)
@blueprint.arguments(AudienceChangeIn)
@blueprint.response(200, AudienceDetailOut)
def change_audience(data: dict[str, Any], audience_id: int) -> dict[str, Any]:
    """Change an audience; ``If-Match: <version>`` refuses what overtook you.

    Active rules that read a changed condition look at everybody again. When that would touch a large part of the base,
    the answer is 409 ``rule-storm`` with the numbers and a token for ``confirm``. Keys with a data scope may not write
    an audience that rules read (403).
    """
    with transaction():
        refuse_limited(current_actor(), audience_id)
        _refuse_unreadable(data)
        saving.change_audience(audience_id, data, current_actor().name, _expected_version())
    return audiences.audience_detail(current_actor(), audience_id)


@blueprint.route("/audiences/<int:audience_id>", methods=["DELETE"])
@needs(Permission.AUDIENCES_WRITE)
@blueprint.response(204)
def delete_audience(audience_id: int) -> None:
    """Delete an audience; refused with 409 ``audience-in-use`` while something unfinished names it."""
    with transaction():
        refuse_limited(current_actor(), audience_id)
        saving.delete_audience(audience_id, current_actor().name)


@blueprint.route("/audiences/<int:audience_id>/archive", methods=["POST"])
@needs(Permission.AUDIENCES_WRITE)
@blueprint.response(200, AudienceDetailOut)
def archive_audience(audience_id: int) -> dict[str, Any]:
    """Put an audience away: nothing new may name it. Refused while something unfinished does."""
    with transaction():
        refuse_limited(current_actor(), audience_id)
        saving.archive_audience(audience_id, current_actor().name)
    return audiences.audience_detail(current_actor(), audience_id)


@blueprint.route("/audiences/<int:audience_id>/restore", methods=["POST"])
@needs(Permission.AUDIENCES_WRITE)
@blueprint.response(200, AudienceDetailOut)
def restore_audience(audience_id: int) -> dict[str, Any]:
    """Take an audience out of the archive, for keys that may ask what its condition asks."""
    with transaction():
        refuse_limited(current_actor(), audience_id)
        _refuse_unreadable(
            {"condition": saving.restore_audience(audience_id, current_actor().name).condition}
        )
    return audiences.audience_detail(current_actor(), audience_id)


@blueprint.route("/audiences/<int:audience_id>/history")
@needs(Permission.AUDIENCES_READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(AudienceHistoryOut))
def list_audience_history(query: dict[str, Any], audience_id: int) -> dict[str, Any]:
    """Who changed what, newest first; also of a deleted audience."""
    return audiences.audience_changes(current_actor(), audience_id, query)


@blueprint.route("/audiences/<int:audience_id>/count")
@needs(Permission.AUDIENCES_READ)
@blueprint.response(200, AudienceCountOut)
def count_audience(audience_id: int) -> dict[str, Any]:
    """How many of this key's customers belong."""
    with transaction():
        return members.audience_count(current_actor().scope, audience_id)


@blueprint.route("/audiences/<int:audience_id>/members")
@needs(Permission.AUDIENCES_READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(AudienceMemberOut))
def list_members(query: dict[str, Any], audience_id: int) -> dict[str, Any]:
    """Who of this key's customers belongs now, newest customer first, each with every leaf's answer."""
    with transaction():
        return members.member_page(current_actor(), audience_id, query)


@blueprint.route("/audiences/<int:audience_id>/explain", methods=["POST"])
@needs(Permission.AUDIENCES_READ)
@blueprint.arguments(ExplainIn)
@blueprint.response(200, AudienceExplainOut)
def explain_audience(data: dict[str, Any], audience_id: int) -> dict[str, Any]:
    """Whether one customer belongs, and which part of the condition says so."""
    return explanation(current_actor(), audience_id, data["customer_id"], data["language"])


@blueprint.route("/customers/<int:customer_id>/audiences")
@needs(Permission.AUDIENCES_READ)
@blueprint.response(200, CustomerAudiencesOut)
def list_customer_audiences(customer_id: int) -> dict[str, Any]:
    """The audiences in use that a customer belongs to now, by name."""
    return {"items": audiences_of_customer(current_actor().scope, customer_id)}


@blueprint.route("/audiences/<int:audience_id>/members:add", methods=["POST"])
@needs(Permission.AUDIENCES_WRITE)
@idempotent
@blueprint.arguments(AudienceMembersIn)
@blueprint.response(200, AudienceMembersOut)
def add_members(data: dict[str, Any], audience_id: int) -> dict[str, Any]:
    """Put up to 1,000 customers on a static list; each row gets its own result."""
    return _change_members(audience_id, data, add=True)


@blueprint.route("/audiences/<int:audience_id>/members:remove", methods=["POST"])
@needs(Permission.AUDIENCES_WRITE)
@idempotent
@blueprint.arguments(AudienceMembersIn)
@blueprint.response(200, AudienceMembersOut)
def remove_members(data: dict[str, Any], audience_id: int) -> dict[str, Any]:
    """Take up to 1,000 customers off a static list; each row gets its own result."""
    return _change_members(audience_id, data, add=False)


@blueprint.route("/audiences/<int:audience_id>/growth")
@needs(Permission.AUDIENCES_READ)
@blueprint.arguments(GrowthQuery, location="query")
@blueprint.response(200, GrowthOut)
def get_growth(query: dict[str, Any], audience_id: int) -> dict[str, Any]:
    """How many belonged each day, and how many came and went; for keys without a data scope."""
    current_actor().require_everyone("growth counts")
    return {"items": growth.audience_growth(audience_id, query["days"])}


@blueprint.route("/audiences/overlap", methods=["POST"])
@needs(Permission.AUDIENCES_READ)
@blueprint.arguments(AudienceOverlapIn)
@blueprint.response(200, AudienceOverlapOut)
def compare_audiences(data: dict[str, Any]) -> dict[str, Any]:
    """How 2 to 10 audiences overlap among this key's customers."""
    with transaction():
        return audience_overlap(current_actor().scope, data["audience_ids"])


@blueprint.route("/audiences/<int:audience_id>/tags")
@needs(Permission.AUDIENCES_READ)
@blueprint.arguments(FrequentTagQuery, location="query")
@blueprint.response(200, FrequentTagsOut)
def list_frequent_tags(query: dict[str, Any], audience_id: int) -> dict[str, Any]:
    """Tags that members have more often than everybody, with lift and significance."""
    with transaction():
        return frequent_tags(current_actor().scope, audience_id, query["min_support"], query["limit"])


@blueprint.route("/audiences/<int:audience_id>/exports", methods=["POST"])
@needs(Permission.AUDIENCES_EXPORT)
@idempotent
@blueprint.arguments(ExportIn)
@blueprint.response(202, AudienceExportOut)
def export_audience(data: dict[str, Any], audience_id: int) -> AudienceExport:
    """Make a file of the members that this key may see, in the background; what it may not read in full is masked."""
    return exporting.request_export(audience_id, data, current_actor())


@blueprint.route("/audience-exports/columns")
@needs(Permission.AUDIENCES_EXPORT)
@blueprint.response(200, ExportColumnsOut)
def list_export_columns() -> dict[str, Any]:
    """Every column an export may have, and how this key would get it."""
    return {"items": columns_for(current_actor())}


@blueprint.route("/audience-exports")
@needs(Permission.AUDIENCES_EXPORT)
@blueprint.arguments(ExportQuery, location="query")
@blueprint.response(200, page_schema(AudienceExportOut))
def list_exports(query: dict[str, Any]) -> dict[str, Any]:
    """Exports within this key's data scope, newest first."""
    return exports.export_page(current_actor().scope, query)


@blueprint.route("/audience-exports/<int:export_id>")
@needs(Permission.AUDIENCES_EXPORT)
@blueprint.response(200, AudienceExportOut)
def get_export(export_id: int) -> AudienceExport:
    """How far an export is."""
    return exports.export_by_id(current_actor().scope, export_id)


@blueprint.route("/audience-exports/<int:export_id>", methods=["DELETE"])
@needs(Permission.AUDIENCES_EXPORT)
@blueprint.response(204)
def delete_export(export_id: int) -> None:
    """Remove the file before its days are over."""
    actor = current_actor()
    with transaction():
        exporting.delete_export(exports.export_by_id(actor.scope, export_id, lock=True), actor.name)


@blueprint.route("/audience-exports/<int:export_id>/file")
@needs(Permission.AUDIENCES_EXPORT)
@blueprint.response(200, content_type="application/octet-stream")
def download_export(export_id: int) -> Response:
    """The file; every download is written down. One that shows more than this key may read in full is refused."""
    actor = current_actor()
    with transaction():
        export = exports.fetchable(actor, export_id)
        exporting.log_use(export, ExportUse.DOWNLOADED, actor.name)
    name = export_files.file_name(export.id, export.format)
    try:
        answer = Response(file_store().pieces(name), content_type=CONTENT_TYPES[export.format])
    except FileNotFoundError:
        raise NotFound(f"the file of export {export_id} is gone from the file store") from None
    answer.headers.set("Content-Disposition", "attachment", filename=f"audience-{name.rsplit('/', 1)[-1]}")
    answer.headers.set("Content-Length", str(export.size))
    answer.headers.set("X-Content-Type-Options", "nosniff")
    answer.headers.set("Cache-Control", "no-store")
    return answer


@blueprint.route("/audience-exports/log")
@needs(Permission.AUDIENCES_EXPORT)
@blueprint.arguments(ExportQuery, location="query")
@blueprint.response(200, page_schema(ExportLogOut))
def list_export_log(query: dict[str, Any]) -> dict[str, Any]:
    """Who asked for, fetched or deleted which file, newest first; for keys without a data scope."""
    current_actor().require_everyone("the log tells of")
    return exports.log_page(query)


def _change_members(audience_id: int, data: dict[str, Any], *, add: bool) -> dict[str, Any]:
    actor = current_actor()
    refuse_limited(actor, audience_id)
    return {"results": lists.change_members(audience_id, data["customers"], actor.scope, actor.name, add=add)}


def _refuse_unreadable(data: dict[str, Any]) -> None:
    """Raise Forbidden when a condition that is given asks about what this key may not read."""
    if data.get("condition"):
        refuse_unreadable(current_actor(), data["condition"])


def _expected_version() -> int | None:
    given = request.headers.get("If-Match", "").strip().removeprefix("W/").strip('"')
    if not given or given == "*":
        return None
    if not given.isdecimal():
        raise InvalidInput.field("If-Match", "must be the audience's version, such as 3")
    return int(given)
