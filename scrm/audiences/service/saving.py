"""Making, changing, putting away and deleting audiences.

Locks are always taken in this order: ``SAVING``, the row of the audience, the rules' ``ACTIVATION``. Whoever fills a list
holds its row and asks for ``ACTIVATION`` (shared) at the end, so that nobody waits for them in a ring.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select, update

from scrm.audiences.models import Audience, AudienceChange, AudienceKind, AudienceMember, AudienceSnapshot
from scrm.audiences.queries.in_audience import fact_of
from scrm.audiences.queries.users import users_of
from scrm.audiences.service.nesting import audiences_in, refuse_nesting, refuse_rule_rings
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput, NotFound
from scrm.kernel.locks import hold_in_transaction
from tags.rules.compiler import validate_condition, versioned
from tags.rules.service.marking import ACTIVATION
from tags.rules.service.rereading import look_again, readers_of, refuse_storm_among, renew_reads

FIELDS = ("name", "description", "condition")
SAVING = "audiences.saving"  # audiences are saved one after the other: no ring, no name twice


def create_audience(data: Mapping[str, Any], actor: str) -> Audience:
    """A new audience.

    :param data: ``kind``, ``name``, ``description``, and of a tree ``condition``
    :raises InvalidInput: the condition is wrong, missing, or given for a list
    :raises Conflict: the name is taken
    """
    if (data["kind"] is AudienceKind.TREE) != (data.get("condition") is not None):
        problem = (
            "is required of a tree" if data["kind"] is AudienceKind.TREE else "does not go with a static list"
        )
        raise InvalidInput.field("condition", problem)
    hold_in_transaction(SAVING)
    _refuse_taken(data["name"], None)
    made = Audience(
        kind=data["kind"], name=data["name"], description=data["description"], made_by=actor, refers_to=[]
    )
    session().add(made)
    session().flush()
    if made.kind is AudienceKind.TREE:
        _set_condition(made, _checked(made.id, data["condition"]))
    log_change(made, actor, {"created": [None, made.kind]})
    return made


def change_audience(
    audience_id: int, data: Mapping[str, Any], actor: str, expected: int | None = None
) -> Audience:
    """Another name, description or condition; rules that read a changed condition look at everybody again.

    :param data: what changes, and ``confirm`` where a refusal ``rule-storm`` asked for it
    :param expected: the version the caller looked at; another one meanwhile is a Conflict
    """
    if "condition" in data:
        _try_out(audience_id, data, expected)
    hold_in_transaction(SAVING)
    found = living(audience_id, expected)
    before = {name: getattr(found, name) for name in FIELDS}
    if data.get("name", found.name) != found.name:
        _refuse_taken(data["name"], audience_id)
    for name in ("name", "description"):
        setattr(found, name, data.get(name, before[name]))
    if "condition" in data:
        _change_condition(found, data["condition"], actor)
    log_change(
        found, actor, {n: [before[n], getattr(found, n)] for n in FIELDS if before[n] != getattr(found, n)}
    )
    session().flush()
    return found


def _try_out(audience_id: int, data: Mapping[str, Any], expected: int | None) -> None:
    """What the rules would do, counted before the lock is taken that everybody who changes facts would wait for."""
    readers = readers_of(fact_of(audience_id))
    if not readers or living(audience_id, expected).kind is not AudienceKind.TREE:
        return
    condition = _checked(audience_id, data["condition"])
    trial = session().begin_nested()
    try:
        session().execute(
            update(Audience)
            .where(Audience.id == audience_id)
            .values(condition=condition)
            .execution_options(synchronize_session=False)
        )
        meaning = {"audience": audience_id, "condition": condition}
        refuse_storm_among(readers, meaning, data.get("confirm"))
    finally:
        trial.rollback()


def _checked(audience_id: int, condition: Mapping[str, Any]) -> dict[str, Any]:
    validate_condition(condition)
    refuse_nesting(audience_id, condition)
    return versioned(condition)


def _change_condition(found: Audience, condition: Mapping[str, Any], actor: str) -> None:
    if found.kind is not AudienceKind.TREE:
        raise InvalidInput.field("condition", "does not go with a static list; change its members")
    checked = _checked(found.id, condition)
    if checked == found.condition:
        return
    _set_condition(found, checked)
    found.version += 1
    session().flush()
    hold_in_transaction(
        ACTIVATION
    )  # rules saved before this are found, those after it read the new condition
    readers = readers_of(fact_of(found.id))
    renew_reads(readers)
    refuse_rule_rings(checked, readers)
    look_again(readers, actor)


def _set_condition(audience: Audience, checked: dict[str, Any]) -> None:
    audience.condition = checked
    audience.refers_to = [id_ for _, id_ in audiences_in(checked)]


def archive_audience(audience_id: int, actor: str) -> Audience:
    """Put an audience away: nothing new may name it, and its growth is no longer measured.

    :raises Conflict: something uses it
    """
    hold_in_transaction(SAVING)
    found = living(audience_id)
    if found.archived_at is None:
        _refuse_used(found)
        found.archived_at = utcnow()
        log_change(found, actor, {"archived": [False, True]})
        session().flush()
    return found


def restore_audience(audience_id: int, actor: str) -> Audience:
    """Take an audience out of the archive."""
    hold_in_transaction(SAVING)
    found = living(audience_id)
    if found.archived_at is not None:
        found.archived_at = None
        log_change(found, actor, {"archived": [True, False]})
        session().flush()
    return found


def delete_audience(audience_id: int, actor: str) -> None:
    """Delete an audience with its list; its history stays.

    :raises Conflict: something uses it
    """
    hold_in_transaction(SAVING)
    found = living(audience_id)
    _refuse_used(found)
    found.deleted_at = utcnow()
    log_change(found, actor, {"deleted": [False, True]})
    for model in (AudienceMember, AudienceSnapshot):
        session().execute(delete(model).where(model.audience_id == audience_id))
    session().flush()


def living(audience_id: int, expected: int | None = None) -> Audience:
    """An audience that is not deleted, as it stands in the database and held until the transaction ends.

    :raises NotFound: there is none
    :raises Conflict: it is at another version than ``expected``
    """
    found = session().get(Audience, audience_id, with_for_update=True, populate_existing=True)
    if found is None or found.deleted_at is not None:
        raise NotFound(f"there is no audience {audience_id}")
    if expected is not None and expected != found.version:
        raise Conflict(
            f"audience {audience_id} is at version {found.version}, not {expected}; look at it again"
        )
    return found


def log_change(audience: Audience, actor: str, changes: Mapping[str, Any]) -> None:
    """Write a line of history, unless nothing changed."""
    if changes:
        session().add(
            AudienceChange(
                audience_id=audience.id,
                version=audience.version,
                by=actor,
                changes=dict(changes),
                at=utcnow(),
            )
        )


def _refuse_taken(name: str, own_id: int | None) -> None:
    taken = select(Audience.id).where(Audience.name == name, Audience.deleted_at.is_(None))
    other = session().scalar(taken.where(Audience.id != own_id) if own_id else taken)
    if other is not None:
        raise Conflict(
            f"audience {other} is called that already; choose another name", fields={"name": "is taken"}
        )


def _refuse_used(audience: Audience) -> None:
    hold_in_transaction(ACTIVATION)  # no rule that names it is being saved at this moment
    if users := users_of(audience.id):
        told = ", ".join(f"{user.kind} {user.id} ({user.name})" for user in users)
        raise Conflict(
            f"audience {audience.id} is used by {told}; change those first", code="audience-in-use"
        )
