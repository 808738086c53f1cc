"""Who names a computed trait in a condition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from scrm.kernel.db import session
from scrm.portraits.registry import TraitUser
from tags.models import Rule
from tags.rules.conditions.trait import LEAF
from tags.rules.service.rereading import readers_of


def names_trait(tree: object, trait_id: int) -> bool:
    """Whether a condition names a trait, wherever; also of one that is no longer valid."""
    if not isinstance(tree, Mapping):
        return False
    if tree.get("kind") == LEAF.kind and tree.get("trait_id") == trait_id:
        return True
    below: list[Any] = [tree.get("not"), *(tree.get("all") or ()), *(tree.get("any") or ())]
    return any(names_trait(each, trait_id) for each in below)


def rules_naming_trait(trait_id: int) -> list[TraitUser]:
    """Rules that are not deleted and whose newest version reads a trait; drafts too."""
    named = select(Rule.id, Rule.name).where(Rule.id.in_(readers_of(f"trait:{trait_id}"))).order_by(Rule.id)
    return [TraitUser("rule", row.id, row.name) for row in session().execute(named)]
