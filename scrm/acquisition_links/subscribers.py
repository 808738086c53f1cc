"""What acquisition links do when something happened."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.acquisition_links import jobs
from scrm.acquisition_links.events import ChatsTold, LinksDoubted, QuotaDoubted
from scrm.acquisition_links.service import arrivals, calls, links
from scrm.customers.events import FollowAdded, FollowChanged
from scrm.kernel.events import subscribe
from scrm.staff.events import StaffLeft, StaffMerged, StaffReturned
from scrm.wecom.events import EffectSettled


@subscribe(FollowAdded)
def tag_newcomers(events: Sequence[FollowAdded]) -> None:
    """Who comes through a channel of a link gets its tags."""
    arrivals.note_adds({event.follow_id: event.at for event in sorted(events, key=lambda e: e.at)})


@subscribe(FollowChanged)
def tag_late_known(events: Sequence[FollowChanged]) -> None:
    """Through which channel somebody came may become known only when their details are fetched."""
    arrivals.note_states(event.follow_id for event in events)


@subscribe(EffectSettled)
def settle_calls(events: Sequence[EffectSettled]) -> None:
    """WeCom took or refused a link."""
    if ended := [event.effect_id for event in events if event.kind in calls.KINDS]:
        calls.settle(ended)


@subscribe(StaffMerged)
def rename_members(events: Sequence[StaffMerged]) -> None:
    """A member turned out to be one we knew by another userid."""
    links.move_staff({event.gone_id: event.kept_id for event in events})


@subscribe(StaffLeft)
def drop_members(events: Sequence[StaffLeft]) -> None:
    """Links do without members who left."""
    links.refresh_members(sorted({id_ for event in events for id_ in event.staff_ids}))


@subscribe(StaffReturned)
def take_members_back(events: Sequence[StaffReturned]) -> None:
    """Members who are back serve their links again."""
    links.refresh_members(sorted({id_ for event in events for id_ in event.staff_ids}))


@subscribe(QuotaDoubted)
def read_quota(events: Sequence[QuotaDoubted]) -> None:
    """The quota must be read."""
    jobs.read_wanted.wake()


@subscribe(LinksDoubted)
def pull_links(events: Sequence[LinksDoubted]) -> None:
    """The links must be read."""
    jobs.read_wanted.wake()


@subscribe(ChatsTold)
def read_chats(events: Sequence[ChatsTold]) -> None:
    """ChatKeys wait to be used."""
    jobs.read_chats.wake()
