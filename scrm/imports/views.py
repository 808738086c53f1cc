"""Imports in the API."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

from flask import Response, request, stream_with_context

from scrm.imports import queries
from scrm.imports.models import Import, ImportTemplate
from scrm.imports.schemas import (
    ImportErrorQuery,
    ImportOut,
    ImportQuery,
    ImportRow,
    ImportRowQuery,
    ImportSampleListOut,
    ImportStartIn,
    ImportSuggestionOut,
    ImportTargetListOut,
    ImportTemplateIn,
    ImportTemplateOut,
    ImportUndoIn,
    MappingIn,
    SuggestionQuery,
    UploadBody,
    UploadFiles,
    UploadForm,
)
from scrm.imports.service import forgetting, states, templates, uploading
from scrm.imports.service.suggesting import suggest
from scrm.imports.service.targets.registry import target_of
from scrm.kernel.db import transaction
from scrm.kernel.http import PageQuery, api_blueprint, page_schema, paginate
from scrm.kernel.permissions import Permission, current_actor, needs
from scrm.kernel.settings import settings
from scrm.kernel.sheets.limits import MEGABYTE
from scrm.kernel.sheets.writing import write_csv, write_xlsx

FORM_BYTES = 64 * 1024  # what a form adds to its file
AT_ONCE_BYTES = MEGABYTE  # smaller files are read within the request, so that the answer names their columns
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
UPLOAD = {"required": True, "content": {"multipart/form-data": {"schema": UploadBody}}}
blueprint = api_blueprint(
    "imports", "导入 imports: tables that people upload, tried before they write, and undone"
)


@blueprint.before_request
def _allow_files() -> None:
    """Files may be larger than the bodies of other calls."""
    request.max_content_length = settings().imports.max_megabytes * MEGABYTE + FORM_BYTES


@blueprint.route("/imports", methods=["POST"])
@needs(Permission.IMPORTS_WRITE)
@blueprint.ARGUMENTS_PARSER.use_args(UploadForm, location="form")  # told of by UPLOAD: a body is told of once
@blueprint.arguments(UploadFiles, location="files")
@blueprint.doc(requestBody=UPLOAD)
@blueprint.response(201, ImportOut)
def upload_file(form: dict[str, Any], files: dict[str, Any]) -> dict[str, Any]:
    """Upload a CSV or XLSX file; nothing is written before it is mapped, tried and started."""
    given, actor = files["file"], current_actor()
    states.check_may_write(form["target"], actor)
    with given.stream as stream, transaction():
        upload = uploading.Upload(file=stream, filename=given.filename or "", **form)
        made = uploading.keep_upload(upload, actor.name)
    if made.size <= AT_ONCE_BYTES:
        with transaction():
            uploading.read_upload(made.id)
    return queries.import_whole(queries.import_by_id(made.id))


@blueprint.route("/imports")
@needs(Permission.IMPORTS_READ)
@blueprint.arguments(ImportQuery, location="query")
@blueprint.response(200, page_schema(ImportRow))
def list_imports(query: dict[str, Any]) -> Any:
    """Imports, newest first."""
    current_actor().require_everyone("an import concerns")
    return paginate(queries.import_list(query), Import.id, query)


@blueprint.route("/imports/targets")
@needs(Permission.IMPORTS_READ)
@blueprint.response(200, ImportTargetListOut)
def list_targets() -> dict[str, Any]:
    """What can be imported, and what columns can become."""
    return {"items": queries.target_list(current_actor())}


@blueprint.route("/imports/<int:import_id>")
@needs(Permission.IMPORTS_READ)
@blueprint.response(200, ImportOut)
def show_import(import_id: int) -> dict[str, Any]:
    """One import: its columns, mapping, progress and report."""
    return queries.import_whole(_visible(import_id))


def _visible(import_id: int) -> Import:
    """An import shows people's data: to keys that could write it only."""
    made = queries.import_by_id(import_id)
    states.check_may_see(made, current_actor())
    return made


@blueprint.route("/imports/<int:import_id>/suggestion")
@needs(Permission.IMPORTS_READ)
@blueprint.arguments(SuggestionQuery, location="query")
@blueprint.response(200, ImportSuggestionOut)
def suggest_mapping(query: dict[str, str], import_id: int) -> dict[str, Any]:
    """What the columns likely mean, by their names (Chinese or English) and by what stands in them."""
    made = _visible(import_id)
    target = target_of(made.target)
    return {"columns": suggest(target, made.columns, query, target.hidden(current_actor()))}


@blueprint.route("/imports/<int:import_id>/mapping", methods=["PUT"])
@needs(Permission.IMPORTS_WRITE)
@blueprint.arguments(MappingIn)
@blueprint.response(200, ImportOut)
def write_mapping(data: dict[str, Any], import_id: int) -> dict[str, Any]:
    """Say what the columns mean; wrong parts are named."""
    with transaction():
        made = states.locked_import(import_id, current_actor())
        kept = templates.template(data.pop("template_id")).mapping if "template_id" in data else {}
        states.set_mapping(made, {"columns": [], **kept, **data}, current_actor())
    return queries.import_whole(made)


@blueprint.route("/imports/<int:import_id>/dry-run", methods=["POST"])
@needs(Permission.IMPORTS_WRITE)
@blueprint.response(202, ImportOut)
def start_dry_run(import_id: int) -> dict[str, Any]:
    """Try every row as the run would, and leave nothing behind."""
    with transaction():
        made = states.start_trial(states.locked_import(import_id, current_actor()))
    return queries.import_whole(made)


@blueprint.route("/imports/<int:import_id>/start", methods=["POST"])
@needs(Permission.IMPORTS_WRITE)
@blueprint.arguments(ImportStartIn)
@blueprint.response(202, ImportOut)
def start_import(data: dict[str, str], import_id: int) -> dict[str, Any]:
    """Write what the dry run showed; rows that are wrong are left out."""
    with transaction():
        made = states.start_run(states.locked_import(import_id, current_actor()), data.get("confirm"))
    return queries.import_whole(made)


@blueprint.route("/imports/<int:import_id>/cancel", methods=["POST"])
@needs(Permission.IMPORTS_WRITE)
@blueprint.response(200, ImportOut)
def cancel_import(import_id: int) -> dict[str, Any]:
    """Stop; what was written stays and can be undone."""
    with transaction():
        made = states.cancel(states.locked_import(import_id, current_actor()))
    return queries.import_whole(made)


@blueprint.route("/imports/<int:import_id>/undo", methods=["POST"])
@needs(Permission.IMPORTS_WRITE)
@blueprint.arguments(ImportUndoIn)
@blueprint.response(202, ImportOut)
def undo_import(data: dict[str, bool], import_id: int) -> dict[str, Any]:
    """Give back exactly what the import changed, except what was changed since; ``dry_run`` only looks."""
    with transaction():
        made = states.locked_import(import_id, current_actor())
        states.start_undo(made, dry_run=data["dry_run"])
    return queries.import_whole(made)


@blueprint.route("/imports/<int:import_id>/forget", methods=["POST"])
@needs(Permission.IMPORTS_WRITE)
@blueprint.response(200, ImportOut)
def forget_import(import_id: int) -> dict[str, Any]:
    """Delete the file, its rows and errors now instead of after keep_days; it cannot be undone any more."""
    with transaction():
        made = forgetting.forget_import(states.locked_import(import_id, current_actor()))
    return queries.import_whole(made)


@blueprint.route("/imports/<int:import_id>/rows")
@needs(Permission.IMPORTS_READ)
@blueprint.arguments(ImportRowQuery, location="query")
@blueprint.response(200, ImportSampleListOut)
def list_rows(query: dict[str, str], import_id: int) -> dict[str, Any]:
    """The first 100 rows that are new, changed (with what differs), unchanged, or wrong (with what would be right)."""
    return {"items": queries.sample_rows(_visible(import_id), query["status"])}


@blueprint.route("/imports/<int:import_id>/errors")
@needs(Permission.IMPORTS_READ)
@blueprint.arguments(ImportErrorQuery, location="query")
@blueprint.response(200, content_type="application/octet-stream")
def download_errors(query: dict[str, str], import_id: int) -> Response:
    """All rows that are wrong, as they were uploaded, with what is wrong: mend them and upload the file again."""
    made = _visible(import_id)
    kind = query["format"]
    body = _errors_csv(made) if kind == "csv" else _errors_xlsx(made)
    next(body)  # what is wrong with the request is said before the answer begins
    answer = Response(
        stream_with_context(body), content_type="text/csv; charset=utf-8" if kind == "csv" else XLSX
    )
    answer.headers["Content-Disposition"] = f"attachment; filename=import-{import_id}-errors.{kind}"
    return answer


def _errors_csv(made: Import) -> Iterator[bytes]:
    yield b""
    yield from write_csv(queries.error_rows(made), queries.error_header(made), zone=settings().corp.zone)


def _errors_xlsx(made: Import) -> Iterator[bytes]:
    with tempfile.TemporaryFile() as file:
        write_xlsx(queries.error_rows(made), queries.error_header(made), file, zone=settings().corp.zone)
        file.seek(0)
        yield b""
        while piece := file.read(MEGABYTE):
            yield piece


@blueprint.route("/imports/templates")
@needs(Permission.IMPORTS_READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(ImportTemplateOut))
def list_templates(query: dict[str, Any]) -> dict[str, Any]:
    """Kept mappings, newest first, without fields that this key may not see."""
    return queries.template_page(current_actor(), query)


@blueprint.route("/imports/templates", methods=["POST"])
@needs(Permission.IMPORTS_WRITE)
@blueprint.arguments(ImportTemplateIn)
@blueprint.response(201, ImportTemplateOut)
def keep_template(data: dict[str, Any]) -> ImportTemplate:
    """Keep an import's mapping under a name; the same name again replaces it."""
    actor = current_actor()
    with transaction():
        made = states.locked_import(data["import_id"], actor)
        return templates.keep_template(data["name"], made, actor.name)


@blueprint.route("/imports/templates/<int:template_id>", methods=["DELETE"])
@needs(Permission.IMPORTS_WRITE)
@blueprint.response(204)
def drop_template(template_id: int) -> None:
    """Delete a kept mapping."""
    with transaction():
        templates.drop_template(template_id)
