"""The leaf ``in_audience`` joins the language; rules hear of members who came and went."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from scrm.audiences.events import AudienceFilled, AudienceFillWanted, AudienceMembersChanged, ExportWanted
from scrm.audiences.jobs import fill_lists, remove_exports, write_exports
from scrm.audiences.models import AudienceMember
from scrm.audiences.queries.in_audience import KIND, LEAF, expanded, fact_of
from scrm.audiences.queries.users import (
    trees_naming_properties,
    trees_naming_stage,
    trees_naming_tags,
    trees_naming_trait,
)
from scrm.behaviour.registry import property_users
from scrm.kernel.events import subscribe
from scrm.portraits.registry import trait_users
from scrm.value.registry import stage_users
from tags.catalog.registry import tag_users
from tags.rules.jobs import evaluate_rules
from tags.rules.registry import contribute_leaf
from tags.rules.service.marking import Fact, mark, mark_about
from tags.sets.registry import expand_leaf

contribute_leaf(LEAF)
trait_users(trees_naming_trait)
stage_users(trees_naming_stage)
property_users(trees_naming_properties)
tag_users(trees_naming_tags)
expand_leaf(KIND, expanded, frozenset({AudienceMember.__tablename__}))


@subscribe(AudienceMembersChanged)
def on_members_changed(events: Sequence[AudienceMembersChanged]) -> None:
    """A list changed for some customers."""
    if mark(Fact(id_, fact_of(event.audience_id)) for event in events for id_ in event.customer_ids):
        evaluate_rules.wake()


@subscribe(AudienceFilled)
def on_filled(events: Sequence[AudienceFilled]) -> None:
    """A list changed for very many: they are found where they were written."""
    for event in events:
        of_it = AudienceMember.audience_id == event.audience_id, AudienceMember.added_at == event.at
        if mark_about(select(AudienceMember.customer_id).where(*of_it), fact_of(event.audience_id)):
            evaluate_rules.wake()


@subscribe(ExportWanted)
def on_export_wanted(events: Sequence[ExportWanted]) -> None:
    """Begin soon."""
    write_exports.wake()
    remove_exports.wake()


@subscribe(AudienceFillWanted)
def on_fill_wanted(events: Sequence[AudienceFillWanted]) -> None:
    """Begin soon."""
    fill_lists.wake()
