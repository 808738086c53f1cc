"""Persons and what is known of them, in the API. Identities stand in bodies only: addresses are logged."""

from __future__ import annotations

from typing import Any

from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.kernel.errors import NotFound
from scrm.kernel.http import api_blueprint
from scrm.kernel.permissions import Permission, current_actor, needs
from scrm.people.queries import people
from scrm.people.schemas.people import ConsentIn, PersonIdOut, PersonOut, SaidListOut, SearchIn, ValuesIn
from scrm.people.service import consents, values
from scrm.people.service.identity import Identity
from scrm.people.service.resolving import person_with

blueprint = api_blueprint("people", "人 people: one person behind customers, members and buyers")


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
