"""Records of persons that other systems send, in the API: with a key, or signed."""

from __future__ import annotations

import orjson
from flask import Response, request

from scrm.kernel.batch import read_batch
from scrm.kernel.db import transaction
from scrm.kernel.hooks import signed
from scrm.kernel.http import api_blueprint
from scrm.kernel.permissions import Actor, Permission, Scope, current_actor, needs
from scrm.people.schemas.people import PersonBatchIn, PersonBatchOut
from scrm.people.service import records

blueprint = api_blueprint("people batches", "人的批量写入 records of people that other systems send")
PEOPLE = {"required": True, "content": {"application/json": {"schema": PersonBatchIn}}}


@blueprint.route("/people:batch", methods=["POST"])
@needs(Permission.PEOPLE_WRITE)
@blueprint.doc(requestBody=PEOPLE)
@blueprint.response(200, PersonBatchOut)
def store_people() -> Response:
    """Store up to 1,000 records of persons of one source; each row gets its own result.

    A row is known by (source, source_id): the same again changes nothing, another content is what the source says now.
    """
    actor = current_actor()
    actor.require_everyone("a batch may concern")
    return _take_in(request.get_data(), actor)


@blueprint.route("/hooks/<string:source>/people", methods=["POST"])
@signed
@blueprint.doc(requestBody=PEOPLE, security=[])
@blueprint.response(200, PersonBatchOut)
def receive_people(source: str, body: bytes) -> Response:
    """The same for a source that signs its requests (Standard Webhooks) instead of using an API key."""
    return _take_in(body, Actor(f"source:{source}", frozenset(), Scope.all()), source)


def _take_in(body: bytes, actor: Actor, source: str | None = None) -> Response:
    batch = read_batch(body, "people", source)
    with transaction():
        records.take_people(batch, actor)
    return Response(orjson.dumps(batch.answer()), mimetype="application/json")
