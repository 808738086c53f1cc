"""Fields of people in the API: what they are; their values are with the persons."""

from __future__ import annotations

from typing import Any

from scrm.kernel.db import transaction
from scrm.kernel.http import api_blueprint, idempotent
from scrm.kernel.permissions import Permission, needs
from scrm.people.queries import fields as field_queries
from scrm.people.schemas.fields import FieldChange, FieldIn, FieldListOut, FieldOut, FieldQuery
from scrm.people.service import defining

blueprint = api_blueprint("fields", "字段 fields of people")


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
