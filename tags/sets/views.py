"""Counts of conditions in the API."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from scrm.kernel.db import transaction
from scrm.kernel.http import api_blueprint
from scrm.kernel.permissions import Permission, current_actor, needs
from tags.rules.compiler import validate_condition
from tags.rules.queries.veiling import refuse_unreadable
from tags.sets.schemas import CountIn, CountOut
from tags.sets.service.counting import count_tree

blueprint = api_blueprint(
    "conditions", "条件计数 how many customers a condition holds for, while it is put together"
)


@blueprint.route("/conditions/count", methods=["POST"])
@needs(Permission.RULES_READ)
@blueprint.arguments(CountIn)
@blueprint.response(200, CountOut)
def count_condition(data: dict[str, Any]) -> dict[str, Any]:
    """How many customers of this key a condition holds for, in milliseconds where its parts were counted before.

    A condition that takes longer than ``rules.preview_seconds`` is refused with 504 ``condition-too-slow``, naming the leaf
    that costs most.
    """
    with transaction():
        refuse_unreadable(current_actor(), data["condition"])
        validate_condition(data["condition"])
        return asdict(count_tree(data["condition"], current_actor().scope, fresh=data["fresh"]))
