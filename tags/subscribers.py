"""What tags do when something happens elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.customers.events import FollowAdded, FollowLost, FollowTagsSeen, LostBy
from scrm.kernel.events import subscribe
from scrm.wecom.events import EffectSettled
from tags import jobs
from tags.catalog.service.settling import settle_catalog
from tags.events import AssignmentsPending, TagRefreshWanted, TagsAccepted, TagsDeleted
from tags.sync.service.outcomes import settle_assignments
from tags.sync.service.sightings import drop_lost_relations, reconcile, try_refused_again

CATALOG_KINDS = {"add_tag", "edit_tag", "delete_tag"}


@subscribe(EffectSettled)
def on_effects_settled(events: Sequence[EffectSettled]) -> None:
    """WeCom answered: tags and groups first, so that assignments find them."""
    if catalog := [event for event in events if event.kind in CATALOG_KINDS]:
        settle_catalog(catalog)
    if marks := [event for event in events if event.kind == "mark_tag"]:
        settle_assignments(marks)


@subscribe(FollowTagsSeen)
def on_tags_seen(events: Sequence[FollowTagsSeen]) -> None:
    """WeCom showed the tags of relations."""
    reconcile(events)


@subscribe(FollowLost)
def on_follow_lost(events: Sequence[FollowLost]) -> None:
    """The relation is gone at WeCom when the member ended it; otherwise it stays there, one way."""
    if ended := {event.follow_id for event in events if event.by == LostBy.STAFF}:
        drop_lost_relations(ended)


@subscribe(FollowAdded)
def on_follow_added(events: Sequence[FollowAdded]) -> None:
    """What waited for the relation can be told."""
    try_refused_again({event.follow_id for event in events})


@subscribe(AssignmentsPending)
def on_assignments_pending(events: Sequence[AssignmentsPending]) -> None:
    """Tell WeCom soon."""
    jobs.push_assignments.wake()


@subscribe(TagsAccepted)
def on_tags_accepted(events: Sequence[TagsAccepted]) -> None:
    """Assignments may have waited for the tag itself."""
    if any(event.tag_ids for event in events):
        jobs.push_assignments.wake()


@subscribe(TagsDeleted)
def on_tags_deleted(events: Sequence[TagsDeleted]) -> None:
    """Their assignments go, in slices."""
    if any(event.tag_ids for event in events):
        jobs.drop_deleted_tags.wake()


@subscribe(TagRefreshWanted)
def on_refresh_wanted(events: Sequence[TagRefreshWanted]) -> None:
    """Fetch soon."""
    jobs.refresh_tags.wake()
