"""Merges, pairs who may be one, and blocked values in the API. Identities stand in bodies only: addresses are logged."""

from __future__ import annotations

from typing import Any

from scrm.kernel.db import transaction
from scrm.kernel.http import api_blueprint, idempotent, page_schema, paginate
from scrm.kernel.permissions import Permission, current_actor, needs
from scrm.people.models import BlockedValue, Merge, PersonMatch
from scrm.people.queries import people
from scrm.people.schemas.people import (
    AcceptIn,
    AcceptOut,
    BlockedOut,
    BlockedQuery,
    BlockIn,
    MatchOut,
    MatchQuery,
    MergeIn,
    MergeOut,
    MergeQuery,
    UnmergeOut,
)
from scrm.people.service import blocking, matching, merging
from scrm.people.service.identity import Identity

blueprint = api_blueprint(
    "people merges", "人的合并 who is one person: merges, pairs, values that identify nobody"
)


@blueprint.route("/people/blocked-values")
@needs(Permission.PEOPLE_MERGE)
@blueprint.arguments(BlockedQuery, location="query")
@blueprint.response(200, page_schema(BlockedOut))
def list_blocked_values(query: dict[str, Any]) -> Any:
    """Values that identify nobody any more, newest first; those of the settings are not among them."""
    current_actor().require_everyone("blocked values concern")
    return paginate(people.blocked_list(query), BlockedValue.id, query)


@blueprint.route("/people/blocked-values", methods=["POST"])
@needs(Permission.PEOPLE_MERGE)
@idempotent
@blueprint.arguments(BlockIn)
@blueprint.response(201, BlockedOut)
def block_identity_value(data: dict[str, str]) -> BlockedValue:
    """Say that a value (a shop's own phone, a shared mailbox) identifies nobody; who had it loses it."""
    actor = current_actor()
    actor.require_everyone("blocked values concern")
    return blocking.block_value(Identity(data["kind"], data["value"]), actor.name, data["note"])


@blueprint.route("/people/blocked-values/<int:blocked_id>", methods=["DELETE"])
@needs(Permission.PEOPLE_MERGE)
@blueprint.response(204)
def lift_block(blocked_id: int) -> None:
    """Let a value identify again; who lost it by hand gets it back."""
    current_actor().require_everyone("blocked values concern")
    with transaction():
        blocking.lift_block(blocked_id)


@blueprint.route("/people/merges")
@needs(Permission.PEOPLE_READ)
@blueprint.arguments(MergeQuery, location="query")
@blueprint.response(200, page_schema(MergeOut))
def list_merges(query: dict[str, Any]) -> Any:
    """Merges, newest first."""
    statement = people.merge_list(current_actor().scope, query.get("person_id"))
    return paginate(statement, Merge.id, query)


@blueprint.route("/people/merges", methods=["POST"])
@needs(Permission.PEOPLE_MERGE)
@idempotent
@blueprint.arguments(MergeIn)
@blueprint.response(201, AcceptOut)
def merge_people(data: dict[str, int]) -> dict[str, int]:
    """Make two persons one: everything goes over, and can be given back."""
    actor = current_actor()
    people.check_people_visible(actor.scope, data.values())
    return {"merge_id": merging.merge(data["kept_id"], data["gone_id"], actor.name)}


@blueprint.route("/people/merges/<int:merge_id>/undo", methods=["POST"])
@needs(Permission.PEOPLE_MERGE)
@blueprint.response(200, UnmergeOut)
def undo_merge(merge_id: int) -> dict[str, int]:
    """Give back exactly what a merge moved; the two are never merged again unasked."""
    actor = current_actor()
    with transaction():
        people.check_merge_visible(actor.scope, merge_id)
        return {"restored_id": merging.unmerge(merge_id, actor.name)}


@blueprint.route("/people/matches")
@needs(Permission.PEOPLE_READ)
@blueprint.arguments(MatchQuery, location="query")
@blueprint.response(200, page_schema(MatchOut))
def list_matches(query: dict[str, Any]) -> Any:
    """Pairs of persons who may be one, newest first."""
    return paginate(people.match_list(current_actor().scope, query), PersonMatch.id, query)


@blueprint.route("/people/matches/<int:match_id>/accept", methods=["POST"])
@needs(Permission.PEOPLE_MERGE)
@blueprint.arguments(AcceptIn)
@blueprint.response(200, AcceptOut)
def accept_match(data: dict[str, int], match_id: int) -> dict[str, int | None]:
    """Say that they are one person, and merge them."""
    actor = current_actor()
    with transaction():
        people.check_match_visible(actor.scope, match_id)
        return {"merge_id": matching.accept_match(match_id, actor.name, data.get("keep_id"))}


@blueprint.route("/people/matches/<int:match_id>/reject", methods=["POST"])
@needs(Permission.PEOPLE_MERGE)
@blueprint.response(204)
def reject_match(match_id: int) -> None:
    """Say that they are different persons; they are never put side by side again."""
    actor = current_actor()
    with transaction():
        people.check_match_visible(actor.scope, match_id)
        matching.reject_match(match_id, actor.name)
