"""What losses do when something happened."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.conversations.events import MessageLinked, MessageStored
from scrm.customers.events import ContactRecorded, FollowChanged
from scrm.kernel.events import subscribe
from scrm.losses import jobs
from scrm.losses.events import LossesChanged
from scrm.losses.queries import work
from scrm.losses.service import around, recording
from scrm.staff.events import StaffMerged


@subscribe(ContactRecorded)
def note_facts(events: Sequence[ContactRecorded]) -> None:
    """Adds and ends of relations, in whatever order they become known."""
    recording.note_facts(events)


@subscribe(FollowChanged)
def note_returns(events: Sequence[FollowChanged]) -> None:
    """WeCom shows a relation that we thought ended: the customer came back, or had never left."""
    recording.reconsider(work.contradicted([(event.customer_id, event.staff_id) for event in events]))


@subscribe(MessageStored)
def note_messages(events: Sequence[MessageStored]) -> None:
    """A message that was sent before a loss."""
    around.note_messages([(e.customer_id, e.sent_at) for e in events if e.customer_id is not None])


@subscribe(MessageLinked)
def note_linked_messages(events: Sequence[MessageLinked]) -> None:
    """Messages of somebody who was a stranger then."""
    around.note_messages([(event.customer_id, event.sent_at) for event in events])


@subscribe(StaffMerged)
def move_relations(events: Sequence[StaffMerged]) -> None:
    """A member turned out to be one we knew by another userid; this is no loss."""
    for event in events:
        recording.move_relations(event.kept_id, event.gone_id)


@subscribe(LossesChanged)
def tell_losses(events: Sequence[LossesChanged]) -> None:
    """Alerts and alarms, soon."""
    jobs.tell_losses.wake()
