"""Reads of imports."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sqlalchemy import Select, select

from scrm.imports.models import Import, ImportChunk, ImportState, ImportTemplate
from scrm.imports.service.packing import unpack, unpack_rows
from scrm.imports.service.targets.registry import targets
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, NotFound
from scrm.kernel.paging import paginate
from scrm.kernel.permissions import Actor
from scrm.kernel.sheets.cells import Cell

ERROR_COLUMN = "错误 Error"
KINDS = ("new", "changed", "unchanged", "error")
HEAVY = ("samples",)


def import_by_id(import_id: int) -> Import:
    """One import; raises NotFound."""
    found = session().get(Import, import_id, populate_existing=True)
    if found is None:
        raise NotFound(f"there is no import {import_id}")
    return found


def import_list(query: Mapping[str, Any]) -> Select[Any]:
    """Imports, of a state or target only."""
    statement = select(Import)
    if state := query.get("state"):
        statement = statement.where(Import.state == state)
    if target := query.get("target"):
        statement = statement.where(Import.target == target)
    return statement


def template_page(actor: Actor, query: Mapping[str, Any]) -> dict[str, Any]:
    """A page of kept mappings, newest first, without the fields that an actor may not see."""
    page = paginate(select(ImportTemplate), ImportTemplate.id, query)
    hidden = {one.name: one.hidden(actor) for one in targets()}
    return {**page, "items": [_template_shown(kept, hidden[kept.target]) for kept in page["items"]]}


def _template_shown(kept: ImportTemplate, hidden: Collection[str]) -> dict[str, Any]:
    columns = {column.key: getattr(kept, column.key) for column in ImportTemplate.__table__.columns}
    mapping = dict(kept.mapping)
    mapping["columns"] = [one for one in mapping.get("columns", ()) if one["to"] not in hidden]
    if "constants" in mapping:
        mapping["constants"] = {
            path: value for path, value in mapping["constants"].items() if path not in hidden
        }
    return {**columns, "mapping": mapping}


def same_file(made: Import) -> int | None:
    """The last other import of the very same content that wrote something; None: the file is new."""
    wrote = Import.state.in_((ImportState.DONE, ImportState.RUNNING, ImportState.CANCELLED))
    statement = select(Import.id).where(
        Import.sha256 == made.sha256, Import.target == made.target, Import.id != made.id, wrote
    )
    return session().scalar(
        statement.where(Import.started_at.is_not(None)).order_by(Import.id.desc()).limit(1)
    )


def progress(made: Import) -> dict[str, Any]:
    """How far the phase at work is: rows done, of how many, rows per second."""
    done = _rows_done(made)
    rate = done / made.worked_seconds if made.worked_seconds else None
    return {"done": done, "total": made.rows, "rows_per_second": None if rate is None else round(rate, 1)}


def _rows_done(made: Import) -> int:
    counted = {ImportState.RUNNING: made.done, ImportState.CHECKING: made.tally if made.keyed else {}}
    if counted.get(made.state):
        return sum(counted[made.state].values())
    if made.cursor >= made.chunks:
        return made.rows
    return made.rows * made.cursor // made.chunks  # chunks are alike, but for the last


def import_whole(made: Import) -> dict[str, Any]:
    """An import as the API shows it."""
    shown = {c.key: getattr(made, c.key) for c in Import.__mapper__.column_attrs if c.key not in HEAVY}
    return {**shown, "same_file_as": same_file(made), "progress": progress(made)}


def sample_rows(made: Import, kind: str) -> list[dict[str, Any]]:
    """The first rows of a kind, of the dry run, or of the run once that began."""
    found: list[dict[str, Any]] = made.samples.get(kind, [])
    return found


def target_list(actor: Actor) -> list[dict[str, Any]]:
    """Everything that can be imported, with the fields that columns can become, as far as an actor may see them."""
    hidden = {one.name: one.hidden(actor) for one in targets()}
    return [
        {
            "name": one.name,
            "zh": one.zh,
            "en": one.en,
            "permission": str(one.permission),
            "fields": [
                {"path": f.path, "kind": str(f.kind), "zh": f.zh, "en": f.en}
                for f in one.fields({}).values()
                if f.path not in hidden[one.name]
            ],
        }
        for one in targets()
    ]


def error_header(made: Import) -> list[str]:
    """Columns of the file of errors: the original ones, and what is wrong."""
    return [*(column["name"] for column in made.columns), ERROR_COLUMN]


def error_rows(made: Import) -> Iterator[list[Cell]]:
    """The rows that are wrong, as they were, each with what would be right; mended, the file can be uploaded again.

    :raises Conflict: the file was forgotten
    """
    if made.forgotten_at is not None:
        raise Conflict(f"import {made.id} was forgotten after [imports] keep_days; its rows are gone")
    width = len(made.columns)
    for number in range(made.chunks):
        chunk = session().get(ImportChunk, (made.id, number), populate_existing=True)
        if chunk is None:
            continue
        following = session().get(ImportChunk, (made.id, number + 1)) if number + 1 < made.chunks else None
        yield from _errors_of(chunk, following, width)
        session().expunge(chunk)


def _errors_of(chunk: ImportChunk, following: ImportChunk | None, width: int) -> Iterator[list[Cell]]:
    problems = unpack(chunk.errors) or {}
    if not problems:
        return
    rows = unpack_rows(chunk.rows)
    rows += unpack_rows(following.rows)[: following.lead] if following is not None else []
    for number, cells in rows:
        told = problems.get(str(number))
        if told:
            padded = [*cells, *[None] * (width - len(cells))][:width]
            yield [*padded, "; ".join(f"{column}: {problem}" for column, problem in told.items())]
