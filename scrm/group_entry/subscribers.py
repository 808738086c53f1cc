"""What group codes and entry welcomes do when something happened."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.customers.events import FollowAdded, FollowChanged
from scrm.group_entry import jobs
from scrm.group_entry.events import GroupsPutBehindCode, PicturesWanted
from scrm.group_entry.service import arrivals, assignments, join_ways, rotation, templates
from scrm.groups.events import GroupChanged, GroupJoined, GroupLeft, JoinWayKnown
from scrm.kernel.events import subscribe
from scrm.wecom.events import EffectSettled


@subscribe(GroupJoined)
def count_joins(events: Sequence[GroupJoined]) -> None:
    """Groups fill; who came through a code gets its tags."""
    arrivals.note_stays(event.stay_id for event in events)
    rotation.review(event.group_id for event in events)


@subscribe(JoinWayKnown)
def tag_late_known(events: Sequence[JoinWayKnown]) -> None:
    """Callbacks do not say through which code somebody came; reading the group does."""
    arrivals.note_stays(event.stay_id for event in events)


@subscribe(GroupLeft)
def count_leaves(events: Sequence[GroupLeft]) -> None:
    """Groups become emptier."""
    rotation.review(event.group_id for event in events)


@subscribe(GroupChanged)
def follow_groups(events: Sequence[GroupChanged]) -> None:
    """A dismissed group takes nobody; a new owner has to attach what the old one did not."""
    rotation.review(event.group_id for event in events if event.change == "dismissed")
    owned_anew = [event.group_id for event in events if event.change == "owner"]
    if owned_anew:
        assignments.tell_owners(groups=owned_anew)


@subscribe(FollowAdded)
def tag_newcomers(events: Sequence[FollowAdded]) -> None:
    """Somebody who is in a group already becomes a customer."""
    arrivals.note_follows({event.follow_id: event.at for event in sorted(events, key=lambda e: e.at)})


@subscribe(FollowChanged)
def tag_late_seen(events: Sequence[FollowChanged]) -> None:
    """A relation may be seen for the first time without its add having been told."""
    arrivals.note_follows({event.follow_id: None for event in events})


@subscribe(GroupsPutBehindCode)
def welcome_at_new_groups(events: Sequence[GroupsPutBehindCode]) -> None:
    """Groups of a code are welcomed with the template it names."""
    behind: dict[int, set[int]] = {}
    for event in events:
        behind.setdefault(event.group_code_id, set()).update(event.group_ids)
    assignments.assign_to_code_groups(behind)


@subscribe(PicturesWanted)
def read_pictures(events: Sequence[PicturesWanted]) -> None:
    """WeCom made a join way and its picture's address is not known yet."""
    jobs.read_pictures.wake()


@subscribe(EffectSettled)
def settle_calls(events: Sequence[EffectSettled]) -> None:
    """WeCom took or refused a join way or a template."""
    ways = [event.effect_id for event in events if event.kind in join_ways.KINDS]
    welcomes = [event.effect_id for event in events if event.kind in templates.KINDS]
    if ways:
        rotation.refresh(join_ways.settle(ways))
    if welcomes:
        assignments.tell_owners(welcomes=templates.settle(welcomes))
