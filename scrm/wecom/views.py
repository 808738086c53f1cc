"""The API of the effect ledger."""

from __future__ import annotations

from typing import Any

from scrm.kernel.db import transaction
from scrm.kernel.http import api_blueprint, page_schema
from scrm.kernel.permissions import Permission, current_actor, needs
from scrm.wecom import effects, queries
from scrm.wecom.effects import Resolution
from scrm.wecom.models import Effect
from scrm.wecom.retrying import Retried, Selection, look, retry_all
from scrm.wecom.schemas import (
    CountsSchema,
    EffectDetailSchema,
    EffectFilter,
    EffectQuery,
    EffectSchema,
    LimitsQuery,
    LimitsSchema,
    ResolutionSchema,
    RetriedSchema,
    RetrySchema,
)

blueprint = api_blueprint(
    "effects", "副作用账本 effects: every change asked for at WeCom and what became of it"
)


WHAT = "what is sent to WeCom concerns"


@blueprint.route("/effects")
@needs(Permission.EFFECTS_READ)
@blueprint.arguments(EffectQuery, location="query")
@blueprint.response(200, page_schema(EffectSchema))
def list_effects(query: dict[str, Any]) -> dict[str, Any]:
    """Effects, newest first."""
    return queries.effect_page(query)


@blueprint.route("/effects/stats")
@needs(Permission.EFFECTS_READ)
@blueprint.arguments(EffectFilter, location="query")
@blueprint.response(200, CountsSchema)
def count_effects(query: dict[str, Any]) -> dict[str, Any]:
    """Effects counted by kind, state, errcode and why they are parked."""
    return {"items": queries.effect_counts(query)}


@blueprint.route("/effects/retry", methods=["POST"])
@needs(Permission.EFFECTS_WRITE)
@blueprint.arguments(RetrySchema)
@blueprint.response(200, RetriedSchema)
def retry_effects(data: dict[str, Any]) -> Retried:
    """Send many failed effects again, or count them (dry_run); those whose end could not be told are told again."""
    current_actor().require_everyone(WHAT)
    dry_run = data.pop("dry_run")
    with transaction():
        return look(Selection(**data)) if dry_run else retry_all(Selection(**data))


@blueprint.route("/effects/<int:effect_id>")
@needs(Permission.EFFECTS_READ)
@blueprint.response(200, EffectDetailSchema)
def show_effect(effect_id: int) -> Effect:
    """One effect with payload and result, which may name any customer."""
    current_actor().require_everyone(WHAT)
    return queries.effect_by_id(effect_id)


@blueprint.route("/effects/<int:effect_id>/resolve", methods=["POST"])
@needs(Permission.EFFECTS_WRITE)
@blueprint.arguments(ResolutionSchema)
@blueprint.response(200, EffectDetailSchema)
def resolve_effect(data: dict[str, Resolution], effect_id: int) -> Effect:
    """Say what became of an unknown effect, or have it sent again."""
    current_actor().require_everyone(WHAT)
    with transaction():
        return effects.resolve(effect_id, data["outcome"])


@blueprint.route("/effects/<int:effect_id>/retry", methods=["POST"])
@needs(Permission.EFFECTS_WRITE)
@blueprint.response(200, EffectDetailSchema)
def retry_effect(effect_id: int) -> Effect:
    """Send a failed effect again."""
    current_actor().require_everyone(WHAT)
    with transaction():
        return effects.retry(effect_id)


@blueprint.route("/limits")
@needs(Permission.EFFECTS_READ)
@blueprint.arguments(LimitsQuery, location="query")
@blueprint.response(200, LimitsSchema)
def list_limits(query: dict[str, Any]) -> dict[str, Any]:
    """What WeCom's limits leave of each API: figures with their source, calls under way, blocks and circuits."""
    return {"items": queries.limits_left(query.get("app"), query.get("api", ()))}
