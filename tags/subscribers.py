"""What tags do when something happens elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from scrm.customers.events import FollowAdded, FollowLost, FollowTagsSeen, LostBy
from scrm.kernel.events import subscribe
from scrm.portraits.service import Entry, EntryKind, add_entries
from scrm.wecom.events import EffectSettled
from tags import jobs
from tags.catalog.service.settling import settle_catalog
from tags.events import (
    AssignmentMoved,
    AssignmentsPending,
    ExclusiveGroupsChanged,
    PushSwitched,
    TagRefreshWanted,
    TagsAccepted,
    TagsDeleted,
)
from tags.queries import staff_of_follows
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


@subscribe(ExclusiveGroupsChanged)
def on_exclusive_groups_changed(events: Sequence[ExclusiveGroupsChanged]) -> None:
    """Settle what relations hold, soon."""
    jobs.settle_exclusive_groups.wake()


@subscribe(PushSwitched)
def on_push_switched(events: Sequence[PushSwitched]) -> None:
    """Let assignments follow, soon."""
    jobs.switch_pushes.wake()


@subscribe(TagsDeleted)
def on_tags_deleted(events: Sequence[TagsDeleted]) -> None:
    """Their assignments go, in slices."""
    if any(event.tag_ids for event in events):
        jobs.drop_deleted_tags.wake()


@subscribe(TagRefreshWanted)
def on_refresh_wanted(events: Sequence[TagRefreshWanted]) -> None:
    """Fetch soon."""
    jobs.refresh_tags.wake()


@subscribe(AssignmentMoved)
def on_assignments_moved(events: Sequence[AssignmentMoved]) -> None:
    """The timeline tells which tags a relation gained or lost at once for one reason."""
    together: dict[tuple[int, bool, str], list[AssignmentMoved]] = defaultdict(list)
    for event in events:
        together[event.follow_id, event.added, event.source].append(event)
    staff = staff_of_follows({follow_id for follow_id, _, _ in together})
    add_entries([_entry(moved, staff[moved[0].follow_id]) for moved in together.values()])


def _entry(moved: Sequence[AssignmentMoved], staff_id: int) -> Entry:
    first = min(moved, key=lambda event: event.assignment_id)
    kind = EntryKind.TAG_ADDED if first.added else EntryKind.TAG_REMOVED
    details = {"tag_ids": sorted(event.tag_id for event in moved), "source": first.source}
    key = f"{kind}:{first.assignment_id}:{first.version}"
    return Entry(first.customer_id, first.at, kind, details, key, staff_id)
