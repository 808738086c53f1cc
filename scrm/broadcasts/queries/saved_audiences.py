"""Saved audiences that a broadcast names: they become conditions, so that the dry run and the freeze ask SQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, select

from scrm.audiences.queries.in_audience import KIND
from scrm.audiences.queries.users import named_in
from scrm.audiences.registry import AudienceUser
from scrm.behaviour.registry import PropertyUser
from scrm.broadcasts.models import Broadcast, BroadcastState
from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput
from scrm.portraits.registry import TraitUser
from scrm.value.registry import StageUser
from tags.catalog.registry import Named, TagUser
from tags.rules.compiler import compile_condition, validate_condition
from tags.rules.migration import SCHEMA_VERSION
from tags.rules.queries.property_users import names_property
from tags.rules.queries.stage_users import names_stage
from tags.rules.queries.trait_users import names_trait

NAMING = {"audience_ids": "any", "exclude_audience_ids": "none"}
UNFROZEN = (BroadcastState.DRAFT, BroadcastState.SCHEDULED, BroadcastState.PLANNING)
Audience = Mapping[str, Any]


def check_conditions(audience: Audience) -> None:
    """Raise InvalidInput unless the condition and everything that it and the audiences name exists."""
    for field, tree in _conditions(audience):
        try:
            validate_condition(tree, "audience.condition" if field == "condition" else "audience")
        except InvalidInput as error:
            if field == "condition":
                raise
            [(path, problem)] = error.fields.items()
            raise InvalidInput.field(
                path.replace("audience.audience_ids", f"audience.{field}"), problem
            ) from None


def conditions_hold(audience: Audience) -> ColumnElement[bool]:
    """The clause over ``customers`` of the condition and the saved audiences together; without any, everybody."""
    return and_(True, *(compile_condition(tree, everybody=True) for _, tree in _conditions(audience)))


def _conditions(audience: Audience) -> Iterator[tuple[str, dict[str, Any]]]:
    if "condition" in audience:
        yield "condition", audience["condition"]
    for field, match in NAMING.items():
        if ids := audience.get(field):
            leaf = {"kind": KIND, "audience_ids": ids, "match": match}
            yield field, {"schema_version": SCHEMA_VERSION, **leaf}


def broadcasts_naming(audience_id: int) -> list[AudienceUser]:
    """Broadcasts that are not frozen yet and name a saved audience."""
    return [
        AudienceUser("broadcast", row.id, row.name)
        for row in _unfrozen()
        if any(audience_id in named_in(tree) for _, tree in _conditions(row.audience))
    ]


def broadcasts_naming_trait(trait_id: int) -> list[TraitUser]:
    """Broadcasts that are not frozen yet and name a computed trait."""
    return [
        TraitUser("broadcast", row.id, row.name)
        for row in _unfrozen()
        if any(names_trait(tree, trait_id) for _, tree in _conditions(row.audience))
    ]


def broadcasts_naming_stage(keys: frozenset[str]) -> list[StageUser]:
    """Broadcasts that are not frozen yet and name any of these stages of the lifecycle."""
    return [
        StageUser("broadcast", row.id, row.name)
        for row in _unfrozen()
        if any(names_stage(tree, keys) for _, tree in _conditions(row.audience))
    ]


def broadcasts_naming_tags(named: Named) -> list[TagUser]:
    """Broadcasts that are not frozen yet and name any of these tags and groups of tags."""
    return [
        TagUser("broadcast", row.id, row.name)
        for row in _unfrozen()
        if any(named.by(tree) for _, tree in _conditions(row.audience))
    ]


def broadcasts_naming_properties(type_id: int, keys: frozenset[str]) -> list[PropertyUser]:
    """Broadcasts that are not frozen yet and name any of these properties of an event type."""
    return [
        PropertyUser("broadcast", row.id, row.name)
        for row in _unfrozen()
        if any(names_property(tree, type_id, keys) for _, tree in _conditions(row.audience))
    ]


def _unfrozen() -> Iterable[Any]:
    waiting = select(Broadcast.id, Broadcast.name, Broadcast.audience).where(Broadcast.state.in_(UNFROZEN))
    return session().execute(waiting.order_by(Broadcast.id))
