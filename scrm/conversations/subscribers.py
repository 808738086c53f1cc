"""What conversations do when something happened."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.conversations import jobs
from scrm.conversations.events import KfPullWanted, MessageStored
from scrm.conversations.models import Direction
from scrm.conversations.service import messages, outgoing
from scrm.customers.events import CustomersFound, FollowAdded
from scrm.kernel.events import subscribe
from scrm.staff.events import StaffMerged
from scrm.wecom.events import EffectSettled


@subscribe(KfPullWanted)
def read_customer_service(events: Sequence[KfPullWanted]) -> None:
    """Accounts have something to read."""
    jobs.pull_kf.wake()


@subscribe(MessageStored)
def consider_replies(events: Sequence[MessageStored]) -> None:
    """Somebody may have said a keyword."""
    if any(event.direction is Direction.IN for event in events):
        jobs.reply.wake()


@subscribe(EffectSettled)
def settle_answers(events: Sequence[EffectSettled]) -> None:
    """WeCom took or refused what we said."""
    ours = [event.effect_id for event in events if event.kind in outgoing.KINDS]
    if ours:
        outgoing.settle(ours)


@subscribe(FollowAdded)
def link_former_strangers(events: Sequence[FollowAdded]) -> None:
    """Who wrote to customer service as a stranger is a customer now."""
    messages.link_customers({event.customer_id for event in events})


@subscribe(CustomersFound)
def link_found_strangers(events: Sequence[CustomersFound]) -> None:
    """A sync may name them first: then no add is told."""
    messages.link_customers({id_ for event in events for id_ in event.customer_ids})


@subscribe(StaffMerged)
def move_words_of_members(events: Sequence[StaffMerged]) -> None:
    """A member turned out to be one we knew by another userid."""
    messages.move_staff({event.gone_id: event.kept_id for event in events})
