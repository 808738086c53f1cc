"""Persons, their fields, merges and matches in the API. Identities stand in bodies only: addresses are logged."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response, request
from sqlalchemy import select

from scrm.kernel.batch import read_batch
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.kernel.errors import NotFound
from scrm.kernel.hooks import signed
from scrm.kernel.http import PageQuery, api_blueprint, idempotent, page_schema, paginate
from scrm.kernel.permissions import Actor, Permission, current_actor, needs
from scrm.people.models import (
    BlockedValue,
    CleaningItem,
    CleaningRun,
    CleaningState,
    Merge,
    PersonMatch,
    QualityReport,
)
from scrm.people.queries import fields as field_queries
from scrm.people.queries import people, quality
from scrm.people.schemas.fields import FieldChange, FieldIn, FieldListOut, FieldOut, FieldQuery
from scrm.people.schemas.people import (
    AcceptIn,
    AcceptOut,
    BlockedOut,
    BlockedQuery,
    BlockIn,
    ConsentIn,
    MatchOut,
    MatchQuery,
    MergeIn,
    MergeOut,
    MergeQuery,
    PersonBatchIn,
    PersonBatchOut,
    PersonIdOut,
    PersonOut,
    SaidListOut,
    SearchIn,
    UnmergeOut,
    ValuesIn,
)
from scrm.people.schemas.quality import (
    CleaningItemOut,
    CleaningRunOut,
    NeglectedOut,
    NeglectQuery,
    PersonQualityOut,
    QualityReportOut,
)
from scrm.people.service import blocking, cleaning, consents, defining, matching, merging, records, values
from scrm.people.service.identity import Identity
from scrm.people.service.resolving import person_with

blueprint = api_blueprint("people", "人 people: one person behind customers, members and buyers")
PEOPLE = {"required": True, "content": {"application/json": {"schema": PersonBatchIn}}}


@blueprint.route("/people:batch", methods=["POST"])
@needs(Permission.PEOPLE_WRITE)
@blueprint.doc(requestBody=PEOPLE)
@blueprint.response(200, PersonBatchOut)
def store_people() -> Response:
    """Store up to 1,000 records of persons of one source; each row gets its own result.

    A row is known by (source, source_id): the same again changes nothing, another content is what the source says now.
    """
    current_actor().require_everyone("a batch may concern")
    return _take_in(request.get_data(), actor=current_actor())


@blueprint.route("/hooks/<string:source>/people", methods=["POST"])
@signed
@blueprint.doc(requestBody=PEOPLE, security=[])
@blueprint.response(200, PersonBatchOut)
def receive_people(source: str, body: bytes) -> Response:
    """The same for a source that signs its requests (Standard Webhooks) instead of using an API key."""
    return _take_in(body, source)


def _take_in(body: bytes, source: str | None = None, actor: Actor | None = None) -> Response:
    batch = read_batch(body, "people", source)
    with transaction():
        records.take_people(batch, actor)
    return Response(orjson.dumps(batch.answer()), mimetype="application/json")


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
    by = _unlimited("blocked values concern").name
    return blocking.block_value(Identity(data["kind"], data["value"]), by, data["note"])


@blueprint.route("/people/blocked-values/<int:blocked_id>", methods=["DELETE"])
@needs(Permission.PEOPLE_MERGE)
@blueprint.response(204)
def lift_block(blocked_id: int) -> None:
    """Let a value identify again; who lost it by hand gets it back."""
    current_actor().require_everyone("blocked values concern")
    with transaction():
        blocking.lift_block(blocked_id)


@blueprint.route("/people:search", methods=["POST"])
@needs(Permission.PEOPLE_READ)
@blueprint.arguments(SearchIn)
@blueprint.response(200, PersonIdOut)
def search_person(data: dict[str, str]) -> dict[str, int]:
    """Find the person whom an identity names; nobody is made."""
    found = person_with(Identity(data["kind"], data["value"]))
    if found is None or (seen := people.visible_survivor(current_actor().scope, found)) is None:
        raise NotFound("nobody has this identity, or it lies outside this key's data scope")
    return {"person_id": seen}


@blueprint.route("/people/<int:person_id>")
@needs(Permission.PEOPLE_READ)
@blueprint.response(200, PersonOut)
def show_person(person_id: int) -> dict[str, Any]:
    """One person; the number of a merged person answers with the person it is part of."""
    return people.person(current_actor(), person_id)


@blueprint.route("/customers/<int:customer_id>/person")
@needs(Permission.PEOPLE_READ)
@blueprint.response(200, PersonOut)
def show_person_of_customer(customer_id: int) -> dict[str, Any]:
    """The person behind a customer."""
    actor = current_actor()
    return people.person(actor, people.person_of_customer(actor.scope, customer_id))


@blueprint.route("/people/<int:person_id>/fields", methods=["PATCH"])
@needs(Permission.PEOPLE_WRITE)
@blueprint.arguments(ValuesIn)
@blueprint.response(200, PersonOut)
def write_person_values(data: dict[str, Any], person_id: int) -> dict[str, Any]:
    """Write values of a person, all or none; wrong ones are named by field."""
    actor = current_actor()
    with transaction():
        found = people.whole_person(actor.scope, person_id)
        values.set_values(found, data["values"], actor, utcnow())
    return people.person(actor, found)


@blueprint.route("/customers/<int:customer_id>/person/fields", methods=["PATCH"])
@needs(Permission.PEOPLE_WRITE)
@blueprint.arguments(ValuesIn)
@blueprint.response(200, PersonOut)
def write_customer_values(data: dict[str, Any], customer_id: int) -> dict[str, Any]:
    """Write values of the person behind a customer, all or none."""
    actor = current_actor()
    with transaction():
        found = people.person_of_customer(actor.scope, customer_id)
        values.set_values(found, data["values"], actor, utcnow())
    return people.person(actor, found)


@blueprint.route("/people/<int:person_id>/fields/<string:key>/values")
@needs(Permission.PEOPLE_READ)
@blueprint.response(200, SaidListOut)
def list_person_values(person_id: int, key: str) -> dict[str, Any]:
    """Everything that any source said about one field, newest first."""
    return {"items": people.said_of(current_actor(), person_id, key)}


@blueprint.route("/people/<int:person_id>/consents/<string:channel>", methods=["PUT"])
@needs(Permission.PEOPLE_WRITE)
@blueprint.arguments(ConsentIn)
@blueprint.response(200, PersonOut)
def write_consent(data: dict[str, Any], person_id: int, channel: str) -> dict[str, Any]:
    """Note whether the person may be contacted over a channel; an older word never replaces a newer one."""
    actor = current_actor()
    with transaction():
        found = people.whole_person(actor.scope, person_id)
        said = consents.Consent(channel, data["contactable"], data["source"], data.get("at") or utcnow())
        consents.set_contactable(found, said)
    return people.person(actor, found)


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


@blueprint.route("/fields")
@needs(Permission.FIELDS_READ)
@blueprint.arguments(FieldQuery, location="query")
@blueprint.response(200, FieldListOut)
def list_fields(query: dict[str, Any]) -> dict[str, Any]:
    """Every field, built-in ones and the company's own, in the order they are shown."""
    return {"items": list(field_queries.field_specs(archived=query["archived"]).values())}


@blueprint.route("/fields", methods=["POST"])
@needs(Permission.FIELDS_WRITE)
@idempotent
@blueprint.arguments(FieldIn)
@blueprint.response(201, FieldOut)
def create_field(data: dict[str, Any]) -> field_queries.FieldSpec:
    """Define a field."""
    return defining.create_field(data)


@blueprint.route("/fields/<string:key>", methods=["PATCH"])
@needs(Permission.FIELDS_WRITE)
@blueprint.arguments(FieldChange)
@blueprint.response(200, FieldOut)
def change_field(data: dict[str, Any], key: str) -> field_queries.FieldSpec:
    """Change or archive a field; its type and key stay."""
    with transaction():
        return defining.change_field(key, data)


@blueprint.route("/people/<int:person_id>/quality")
@needs(Permission.PEOPLE_READ)
@blueprint.response(200, PersonQualityOut)
def show_person_quality(person_id: int) -> dict[str, Any]:
    """How complete one person is, and what to ask next."""
    return quality.person_quality(current_actor(), person_id)


@blueprint.route("/people/quality")
@needs(Permission.PEOPLE_READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(QualityReportOut))
def list_quality_reports(query: dict[str, Any]) -> Any:
    """Reports on the whole base, one a night, newest first; they hold figures only. For keys without a data scope."""
    current_actor().require_everyone("a report counts")
    return paginate(quality.report_list(), QualityReport.id, query)


@blueprint.route("/people/quality/customers")
@needs(Permission.PEOPLE_READ)
@blueprint.arguments(NeglectQuery, location="query")
@blueprint.response(200, page_schema(NeglectedOut))
def list_neglected_customers(query: dict[str, Any]) -> Any:
    """Customers who never wrote, left, or were silent for a year; a page can be short, next_cursor says if it was the last."""
    return quality.neglected_page(current_actor().scope, query["problem"], query)


@blueprint.route("/people/cleaning-runs")
@needs(Permission.PEOPLE_MERGE)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(CleaningRunOut))
def list_cleaning_runs(query: dict[str, Any]) -> Any:
    """Cleaning runs, newest first; like everything about them for keys without a data scope."""
    _unlimited()
    return paginate(select(CleaningRun), CleaningRun.id, query)


@blueprint.route("/people/cleaning-runs", methods=["POST"])
@needs(Permission.PEOPLE_MERGE)
@idempotent
@blueprint.response(201, CleaningRunOut)
def start_cleaning_run() -> CleaningRun:
    """Look for values that are not right by today's rules; nothing is changed before it is applied."""
    return cleaning.start_cleaning(_unlimited().name)


@blueprint.route("/people/cleaning-runs/<int:run_id>")
@needs(Permission.PEOPLE_MERGE)
@blueprint.response(200, CleaningRunOut)
def show_cleaning_run(run_id: int) -> dict[str, Any]:
    """One run, with the number of values of each problem."""
    _unlimited()
    run = quality.run_by_id(run_id)
    names = ("id", "state", "looked_at", "by", "created_at", "finished_at")
    return {**{name: getattr(run, name) for name in names}, "problems": quality.problem_counts(run_id)}


@blueprint.route("/people/cleaning-runs/<int:run_id>/items")
@needs(Permission.PEOPLE_MERGE)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(CleaningItemOut))
def list_cleaning_items(query: dict[str, Any], run_id: int) -> Any:
    """The preview, value by value."""
    _unlimited()
    quality.run_by_id(run_id)
    return paginate(quality.item_list(run_id), CleaningItem.value_id, query, descending=False)


def _move(run_id: int, to: CleaningState) -> CleaningRun:
    _unlimited()
    with transaction():
        return cleaning.move_run(run_id, to)


@blueprint.route("/people/cleaning-runs/<int:run_id>/apply", methods=["POST"])
@needs(Permission.PEOPLE_MERGE)
@blueprint.response(202, CleaningRunOut)
def apply_cleaning_run(run_id: int) -> CleaningRun:
    """Repair what the preview shows."""
    return _move(run_id, CleaningState.APPLYING)


@blueprint.route("/people/cleaning-runs/<int:run_id>/cancel", methods=["POST"])
@needs(Permission.PEOPLE_MERGE)
@blueprint.response(200, CleaningRunOut)
def cancel_cleaning_run(run_id: int) -> CleaningRun:
    """Leave everything as it is."""
    return _move(run_id, CleaningState.CANCELLED)


@blueprint.route("/people/cleaning-runs/<int:run_id>/undo", methods=["POST"])
@needs(Permission.PEOPLE_MERGE)
@blueprint.response(202, CleaningRunOut)
def undo_cleaning_run(run_id: int) -> CleaningRun:
    """Put back every value as it was."""
    return _move(run_id, CleaningState.UNDOING)


def _unlimited(what: str = "a cleaning run looks at") -> Actor:
    """Who is asking; raises Forbidden for a key that sees some customers only."""
    (actor := current_actor()).require_everyone(what)
    return actor
