"""What somebody may ask of an import, and when."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from sqlalchemy import select

from scrm.imports.events import ImportWanted
from scrm.imports.models import Import, ImportState
from scrm.imports.service.mapping import check_said, checked_source, named_paths, plan_of
from scrm.imports.service.targets.registry import target_of
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, Forbidden, NotFound
from scrm.kernel.events import publish
from scrm.kernel.permissions import Actor
from scrm.kernel.settings import settings

BEFORE_RUN = (ImportState.READY, ImportState.CHECKED)
WORKING = (ImportState.READING, ImportState.CHECKING, ImportState.RUNNING, ImportState.UNDOING)


def locked_import(import_id: int, actor: Actor) -> Import:
    """One import, locked, if the actor may write what it writes.

    :raises NotFound: there is none
    :raises Forbidden: the target's own permission is missing, or the key sees some customers only
    """
    statement = select(Import).where(Import.id == import_id).with_for_update()
    found = session().scalars(statement.execution_options(populate_existing=True)).one_or_none()
    if found is None:
        raise NotFound(f"there is no import {import_id}")
    check_may_see(found, actor)
    return found


def check_may_see(made: Import, actor: Actor) -> None:
    """Raises Forbidden unless the actor could write these records, and sees every field that the mapping names."""
    check_may_write(made.target, actor)
    hidden = target_of(made.target).hidden(actor)
    if hidden.intersection(named_paths(made.mapping or {})):
        raise Forbidden(f"import {made.id} writes fields that this key may not see")


def check_may_write(target: str, actor: Actor) -> None:
    """Raises Forbidden unless the actor could write these records one by one, for everybody's customers."""
    actor.require(target_of(target).permission)
    actor.require_everyone("an import concerns")


def _expect(made: Import, wanted: tuple[ImportState, ...], what: str) -> None:
    if made.forgotten_at is not None:
        raise Conflict(f"import {made.id} was forgotten after [imports] keep_days; upload the file again")
    if made.state not in wanted:
        raise Conflict(
            f"import {made.id} is {made.state}; only one that is {' or '.join(wanted)} can be {what}"
        )


def set_mapping(made: Import, mapping: dict[str, Any], actor: Actor) -> Import:
    """Say what the columns mean; what a dry run found before counts no more.

    :param actor: who says it
    :raises InvalidInput: naming each part that does not fit the file or the target
    """
    _expect(made, BEFORE_RUN, "mapped")
    source = checked_source(mapping)
    target = target_of(made.target)
    check_said(target, plan_of(target, mapping, [one["name"] for one in made.columns]), actor)
    made.mapping, made.source = mapping, source
    made.state, made.keyed, made.error = ImportState.READY, False, None
    made.tally, made.samples = {}, {}
    return _kept(made)


def start_trial(made: Import) -> Import:
    """Begin the dry run: everything is tried as the run would do it, and nothing stays."""
    _expect(made, BEFORE_RUN, "tried")
    if made.mapping is None or made.source is None:
        raise Conflict(f"import {made.id} has no mapping yet; PUT /api/v1/imports/{made.id}/mapping")
    made.base = target_of(made.target).base(made.source)
    made.tally, made.samples, made.error = {}, {}, None
    return _begin(made, ImportState.CHECKING)


def start_run(made: Import, confirm: str | None) -> Import:
    """Begin to write.

    :param confirm: the token of a refusal, which says yes to what that dry run found
    :raises Conflict: no dry run, or more changes than ``[imports] storm_share`` that nobody confirmed
    """
    _expect(made, (ImportState.CHECKED,), "started")
    _refuse_storm(made, confirm)
    made.done, made.samples, made.started_at = {}, {}, utcnow()
    return _begin(made, ImportState.RUNNING)


def _refuse_storm(made: Import, confirm: str | None) -> None:
    limits, changed = settings().imports, made.tally.get("changed", 0)
    share = changed / made.base if made.base else 0.0
    said = [made.id, made.mapping, sorted(made.tally.items())]
    token = hashlib.blake2s(orjson.dumps(said, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()
    if confirm == token or changed < limits.storm_min or share <= limits.storm_share:
        return
    raise Conflict(
        f"this would change {changed} of {made.base} {target_of(made.target).en} ({share:.0%}; more than "
        f"{limits.storm_share:.0%} has to be confirmed); to go on, send confirm: {token}",
        fields={"confirm": token, "changed": str(changed), "base": str(made.base)},
        code="import-storm",
    )


def cancel(made: Import) -> Import:
    """Stop. What a run has written stays, and can be undone; a dry run or an undo's dry run leaves nothing."""
    _expect(made, WORKING, "cancelled")
    if made.state is ImportState.CHECKING:
        made.state = ImportState.READY
    elif made.state is ImportState.UNDOING and not made.undo_dry:
        raise Conflict(f"import {made.id} is being undone; an undo goes through to its end")
    elif made.state is ImportState.UNDOING:
        made.state = after_run(made)
    else:
        made.state, made.finished_at = ImportState.CANCELLED, utcnow()
    return _kept(made)


def start_undo(made: Import, *, dry_run: bool) -> Import:
    """Begin to give back what the import changed, or only to look what would be given back."""
    _expect(made, (ImportState.DONE, ImportState.CANCELLED), "undone")
    if made.started_at is None:
        raise Conflict(f"import {made.id} was cancelled before it wrote anything")
    made.undo, made.undo_dry = {}, dry_run
    return _begin(made, ImportState.UNDOING)


def after_run(made: Import) -> ImportState:
    """What a run that is over is called: some of its rows may have been left out."""
    return ImportState.DONE if sum(made.done.values()) >= made.rows else ImportState.CANCELLED


def _begin(made: Import, state: ImportState) -> Import:
    made.state, made.cursor, made.worked_seconds, made.finished_at = state, 0, 0.0, None
    publish(ImportWanted(made.id))
    return _kept(made)


def _kept(made: Import) -> Import:
    session().flush()
    session().refresh(made)
    return made
