"""Making and changing traits; a job works new definitions out."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from scrm.behaviour.models import EventType
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput
from scrm.kernel.locks import hold_in_transaction
from scrm.portraits.models import Trait
from scrm.portraits.registry import users_of
from scrm.portraits.traits.service.computing import DEFINING
from scrm.portraits.traits.service.definition import compile_definition


def define(key: str, names: tuple[str, str], definition: dict[str, Any]) -> Trait:
    """Make a trait.

    :param names: zh-CN and English
    :raises Conflict: the key is taken
    :raises InvalidInput: the definition does not fit the event type or the fields of order lines
    """
    _check(definition)
    if session().scalar(select(Trait.id).where(Trait.key == key)) is not None:
        raise Conflict(f"there is a trait {key} already; change it, or take another key")
    hold_in_transaction(DEFINING)
    trait = Trait(key=key, name_zh=names[0], name_en=names[1], definition=definition, changed_at=utcnow())
    session().add(trait)
    session().flush()
    return trait


def change(trait: Trait, changes: dict[str, Any]) -> None:
    """Change names or definition; raises InvalidInput as :func:`define`."""
    if "definition" in changes and changes["definition"] != trait.definition:
        _check(changes["definition"])
        hold_in_transaction(DEFINING)
        trait.changed_at = utcnow()
    for name, value in changes.items():
        setattr(trait, name, value)
    session().flush()


def remove(trait: Trait) -> None:
    """Take a trait away with its values.

    :raises Conflict: conditions name it (``trait-in-use``)
    """
    if users := users_of(trait.id):
        told = ", ".join(f"{user.kind} {user.id} ({user.name})" for user in users)
        raise Conflict(f"trait {trait.key} is used by {told}; change those first", code="trait-in-use")
    hold_in_transaction(DEFINING)
    session().delete(trait)
    session().flush()


def _check(definition: dict[str, Any]) -> None:
    key, event_type = definition["event_type"], None
    if definition["source"] == "events":
        event_type = session().scalar(select(EventType).where(EventType.key == key)) if key else None
        if event_type is None:
            raise InvalidInput.field("definition.event_type", "must be the key of an event type")
    elif key:
        raise InvalidInput.field("definition.event_type", "does not go with order lines")
    compile_definition(definition, event_type)
