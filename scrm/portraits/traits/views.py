"""Computed traits in the API."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from scrm.kernel.db import transaction
from scrm.kernel.http import PageQuery, api_blueprint, idempotent, page_schema, paginate
from scrm.kernel.permissions import Permission, current_actor, needs
from scrm.portraits.models import Trait, TraitValue
from scrm.portraits.traits import jobs, queries
from scrm.portraits.traits.schemas import PersonTraitsOut, TraitChange, TraitIn, TraitOut, TraitValueOut
from scrm.portraits.traits.service import defining

blueprint = api_blueprint("traits", "计算特征 traits of persons, worked out of events and order lines")


@blueprint.route("/traits")
@needs(Permission.TRAITS_READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(TraitOut))
def list_traits(query: dict[str, Any]) -> Any:
    """Traits, newest first."""
    return paginate(select(Trait), Trait.id, query)


@blueprint.route("/traits", methods=["POST"])
@needs(Permission.TRAITS_WRITE)
@idempotent
@blueprint.arguments(TraitIn)
@blueprint.response(201, TraitOut)
def create_trait(data: dict[str, Any]) -> Trait:
    """Make a trait; its values are worked out soon."""
    made = defining.define(data["key"], (data["name_zh"], data["name_en"]), data["definition"])
    jobs.apply_definitions.wake()
    return made


@blueprint.route("/traits/<int:trait_id>")
@needs(Permission.TRAITS_READ)
@blueprint.response(200, TraitOut)
def get_trait(trait_id: int) -> Trait:
    """Show one trait."""
    return queries.trait_by_id(trait_id)


@blueprint.route("/traits/<int:trait_id>", methods=["PATCH"])
@needs(Permission.TRAITS_WRITE)
@blueprint.arguments(TraitChange)
@blueprint.response(200, TraitOut)
def change_trait(data: dict[str, Any], trait_id: int) -> Trait:
    """Change a trait; another definition is worked out soon."""
    with transaction():
        trait = queries.trait_by_id(trait_id)
        defining.change(trait, data)
        jobs.apply_definitions.wake()
    return trait


@blueprint.route("/traits/<int:trait_id>", methods=["DELETE"])
@needs(Permission.TRAITS_WRITE)
@blueprint.response(204)
def delete_trait(trait_id: int) -> None:
    """Take a trait away with its values; 409 ``trait-in-use`` names the rules, audiences and others that read it."""
    with transaction():
        defining.remove(queries.trait_by_id(trait_id))


@blueprint.route("/traits/<int:trait_id>/values")
@needs(Permission.TRAITS_READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(TraitValueOut))
def list_trait_values(query: dict[str, Any], trait_id: int) -> Any:
    """What a trait is of everybody who has it."""
    return paginate(queries.value_list(current_actor().scope, trait_id), TraitValue.person_id, query)


@blueprint.route("/people/<int:person_id>/traits")
@needs(Permission.TRAITS_READ)
@blueprint.response(200, PersonTraitsOut)
def list_person_traits(person_id: int) -> dict[str, Any]:
    """Every trait that a person has."""
    return {"items": queries.values_of(current_actor().scope, person_id)}
