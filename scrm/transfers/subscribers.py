"""What transfers do when something happened: WeCom answered or told, members left or came back."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.customers.events import ContactFact, ContactRecorded, FollowAdded
from scrm.groups.events import GroupChanged
from scrm.kernel.events import subscribe
from scrm.staff.events import StaffLeft, StaffMerged, StaffReturned
from scrm.transfers import jobs
from scrm.transfers.events import CustomersHandedOver, ItemsSettled, PlanStarted, WatchesWanted
from scrm.transfers.service import alerting, merging
from scrm.transfers.service.activation import pause_for_returned, stop_for_left
from scrm.transfers.service.answers import record_answers
from scrm.transfers.service.completing import BY_TRANSFER
from scrm.transfers.service.results import settle_groups
from scrm.transfers.service.settling import News, Outcome, settle
from scrm.transfers.service.unassigned import forget_returned
from scrm.transfers.service.watches import look_now
from scrm.wecom.events import EffectSettled

FAIL_REASONS = {"customer_refused": Outcome.REFUSED, "customer_limit_exceed": Outcome.LIMIT}
OWNER_CHANGES = {"owner", "dismissed"}


@subscribe(EffectSettled)
def on_answers(events: Sequence[EffectSettled]) -> None:
    """WeCom answered calls of ours."""
    record_answers(events)


@subscribe(ContactRecorded)
def on_contact_facts(events: Sequence[ContactRecorded]) -> None:
    """A transfer failed (told of the receiver), or the old relation ended by transfer (told of who hands over)."""
    failed = [
        News(e.customer_id, FAIL_REASONS.get(e.note or "", Outcome.FAILED), e.at, to_staff_id=e.staff_id)
        for e in events
        if e.fact is ContactFact.TRANSFER_FAILED
    ]
    moved = [
        News(e.customer_id, Outcome.DONE, e.at, from_staff_id=e.staff_id)
        for e in events
        if e.fact is ContactFact.LOST_BY_STAFF and e.note == BY_TRANSFER
    ]
    settle(failed + moved)


@subscribe(FollowAdded)
def on_adds(events: Sequence[FollowAdded]) -> None:
    """A receiver gained a customer: of a resigned member that is the end, otherwise WeCom is asked."""
    settle([News(e.customer_id, Outcome.DONE, e.at, to_staff_id=e.staff_id, of_add=True) for e in events])
    look_now([(event.customer_id, event.staff_id) for event in events])


@subscribe(GroupChanged)
def on_owner_changes(events: Sequence[GroupChanged]) -> None:
    """A group has another owner, or is no more."""
    if changed := [event.group_id for event in events if event.change in OWNER_CHANGES]:
        settle_groups(changed)


@subscribe(StaffLeft)
def on_left(events: Sequence[StaffLeft]) -> None:
    """Somebody has to look after the customers."""
    stop_for_left([id_ for event in events for id_ in event.staff_ids])
    jobs.collect_unassigned.wake()


@subscribe(StaffReturned)
def on_returned(events: Sequence[StaffReturned]) -> None:
    """They keep their customers."""
    ids = [id_ for event in events for id_ in event.staff_ids]
    forget_returned(ids)
    pause_for_returned(ids)


@subscribe(StaffMerged)
def on_merged(events: Sequence[StaffMerged]) -> None:
    """Two rows of one member became one."""
    for event in events:
        merging.move_transfers(event.kept_id, event.gone_id)


@subscribe(PlanStarted)
def on_started(events: Sequence[PlanStarted]) -> None:
    """There may be somebody to ask for."""
    jobs.ask_for_transfers.wake()


@subscribe(ItemsSettled)
def on_settled(events: Sequence[ItemsSettled]) -> None:
    """Items that were planned again are asked for; people hear of those that came back, and of plans that stopped."""
    jobs.ask_for_transfers.wake()
    plans = [event.plan_id for event in events]
    alerting.tell_back(plans)
    alerting.tell_paused(plans)


@subscribe(WatchesWanted)
def on_watches_wanted(events: Sequence[WatchesWanted]) -> None:
    """WeCom knows more."""
    jobs.read_results.wake()
    jobs.look_at_transferred_groups.wake()


@subscribe(CustomersHandedOver)
def on_handed_over(events: Sequence[CustomersHandedOver]) -> None:
    """Relations are to be brought up to date."""
    jobs.follow_up.wake()
