"""What goes into the timeline when something happened."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.behaviour.events import BehaviourStored
from scrm.commerce.events import OrdersChanged
from scrm.conversations.events import MessageLinked, MessageStored
from scrm.conversations.models import Direction
from scrm.customers.events import ContactFact, ContactRecorded, CustomersFound
from scrm.groups.events import GroupJoined, GroupLeft
from scrm.groups.service.linking import link_customers
from scrm.kernel.events import subscribe
from scrm.people.events import PeopleFound, PeopleMerged, PeopleSplit
from scrm.portraits.service import (
    Entry,
    EntryKind,
    add_entries,
    add_person_entries,
    joined_entry,
    left_entry,
    match_person_entries,
    note_stays,
)

FACTS = {
    ContactFact.HALF_ADDED: (EntryKind.FOLLOW_HALF_ADDED, "state"),
    ContactFact.ADDED: (EntryKind.FOLLOW_ADDED, "state"),
    ContactFact.LOST_BY_STAFF: (EntryKind.FOLLOW_LOST_BY_STAFF, "source"),
    ContactFact.LOST_BY_CUSTOMER: (EntryKind.FOLLOW_LOST_BY_CUSTOMER, "source"),
    ContactFact.TRANSFER_FAILED: (EntryKind.FOLLOW_TRANSFER_FAILED, "reason"),
}
DIRECTIONS = {
    Direction.IN: EntryKind.MESSAGE_IN,
    Direction.OUT: EntryKind.MESSAGE_OUT,
    Direction.EVENT: EntryKind.MESSAGE_EVENT,
}


@subscribe(ContactRecorded)
def write_contacts(events: Sequence[ContactRecorded]) -> None:
    """Adds, losses and failed transfers; the order in which they became known does not matter."""
    add_entries([_contact(event) for event in events])


def _contact(event: ContactRecorded) -> Entry:
    kind, note = FACTS[event.fact]
    key = f"{kind}:{event.follow_id}:{event.note or ''}"
    details = {note: event.note} if event.note else {}
    return Entry(event.customer_id, event.at, kind, details, key, event.staff_id)


@subscribe(GroupJoined)
def write_joins(events: Sequence[GroupJoined]) -> None:
    """Customers come into groups."""
    add_entries(
        [
            joined_entry(e.customer_id, e.group_id, e.stay_id, e.at)
            for e in events
            if e.customer_id is not None
        ]
    )


@subscribe(GroupLeft)
def write_leaves(events: Sequence[GroupLeft]) -> None:
    """Customers leave groups."""
    add_entries(
        [left_entry(e.customer_id, e.group_id, e.stay_id, e.at) for e in events if e.customer_id is not None]
    )


@subscribe(CustomersFound)
def write_earlier_stays(events: Sequence[CustomersFound]) -> None:
    """Who was in a group before becoming a customer gets those stays."""
    stays = link_customers([id_ for event in events for id_ in event.customer_ids])
    note_stays(stays, [stay for stay in stays if stay.left_at is not None])


@subscribe(MessageStored)
def write_messages(events: Sequence[MessageStored]) -> None:
    """Messages of known customers."""
    _write_messages(events)


@subscribe(MessageLinked)
def write_earlier_messages(events: Sequence[MessageLinked]) -> None:
    """Who wrote before becoming a customer gets those messages."""
    _write_messages(events)


def _write_messages(events: Sequence[MessageStored | MessageLinked]) -> None:
    add_entries(
        [
            Entry(
                event.customer_id,
                event.sent_at,
                DIRECTIONS[event.direction],
                {"message_id": event.message_id, "channel": event.channel},
                f"message:{event.message_id}",
                event.staff_id,
            )
            for event in events
            if event.customer_id is not None
        ]
    )


@subscribe(BehaviourStored)
def write_behaviour(events: Sequence[BehaviourStored]) -> None:
    """People do things; where some changed or went, their timelines are matched with what is left."""
    add_person_entries([one for event in events if not event.recount for one in event.timeline], ())
    if changed := {person_id for event in events if event.recount for person_id in event.person_ids}:
        match_person_entries(sorted(changed))


@subscribe(OrdersChanged)
def write_orders(events: Sequence[OrdersChanged]) -> None:
    """Orders reach statuses; who is named without any lost an order to somebody else."""
    steps = [step for event in events for step in event.steps]
    add_person_entries((), steps)
    losers = {id_ for event in events for id_ in event.person_ids} - {step.person_id for step in steps}
    if losers:
        match_person_entries(sorted(losers))


@subscribe(PeopleFound)
def write_earlier_doings(events: Sequence[PeopleFound]) -> None:
    """Who did something before becoming a customer gets it on the timeline."""
    match_person_entries([id_ for event in events for id_ in event.person_ids])


@subscribe(PeopleMerged)
def write_merged(events: Sequence[PeopleMerged]) -> None:
    """Customers of one person show what that person did."""
    match_person_entries([event.kept for event in events])


@subscribe(PeopleSplit)
def write_split(events: Sequence[PeopleSplit]) -> None:
    """Each shows its own again."""
    match_person_entries([id_ for event in events for id_ in (event.person_id, event.restored)])
