"""Reactions: WeCom's answers are written into chunks, people's decisions wake jobs, deliveries go on timelines."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.audiences.registry import audience_users
from scrm.behaviour.registry import property_users
from scrm.broadcasts import jobs
from scrm.broadcasts.events import (
    BroadcastCancelled,
    BroadcastDelivered,
    BroadcastFrozen,
    BroadcastStarted,
    ChunksSettled,
)
from scrm.broadcasts.queries.saved_audiences import (
    broadcasts_naming,
    broadcasts_naming_properties,
    broadcasts_naming_stage,
    broadcasts_naming_tags,
    broadcasts_naming_trait,
)
from scrm.broadcasts.service.settlement import record_submissions
from scrm.broadcasts.service.task_stops import record_cancellations
from scrm.kernel.events import subscribe
from scrm.portraits.registry import trait_users
from scrm.portraits.service import Entry, EntryKind, add_entries
from scrm.value.registry import stage_users
from scrm.wecom.events import EffectSettled
from tags.catalog.registry import tag_users

audience_users(broadcasts_naming)
trait_users(broadcasts_naming_trait)
stage_users(broadcasts_naming_stage)
property_users(broadcasts_naming_properties)
tag_users(broadcasts_naming_tags)


@subscribe(EffectSettled)
def settle(events: Sequence[EffectSettled]) -> None:
    """WeCom answered calls of ours."""
    if submissions := [event for event in events if event.kind == "broadcast"]:
        record_submissions(submissions)
    if cancellations := [event for event in events if event.kind == "broadcast_cancel"]:
        record_cancellations(cancellations)
        jobs.poll_results.wake()


@subscribe(BroadcastStarted)
def freeze_and_submit(events: Sequence[BroadcastStarted]) -> None:
    """A broadcast starts or goes on."""
    jobs.freeze_audiences.wake()
    jobs.submit_chunks.wake()


@subscribe(BroadcastFrozen)
def submit(events: Sequence[BroadcastFrozen]) -> None:
    """The chunks are there."""
    jobs.submit_chunks.wake()


@subscribe(ChunksSettled)
def go_on(events: Sequence[ChunksSettled]) -> None:
    """There is room for further chunks; new tasks have results, or are to be stopped."""
    jobs.submit_chunks.wake()
    jobs.stop_tasks.wake()
    jobs.poll_results.wake()


@subscribe(BroadcastCancelled)
def stop(events: Sequence[BroadcastCancelled]) -> None:
    """WeCom has to be told."""
    jobs.stop_tasks.wake()


@subscribe(BroadcastDelivered)
def note_deliveries(events: Sequence[BroadcastDelivered]) -> None:
    """Put what customers received on their timelines."""
    add_entries(
        [
            Entry(
                customer_id=customer_id,
                at=at,
                kind=EntryKind.BROADCAST_SENT,
                details={"broadcast_id": event.broadcast_id},
                source_key=f"broadcast:{event.broadcast_id}",
                staff_id=event.staff_id,
            )
            for event in events
            for customer_id, at in event.customers
        ]
    )
