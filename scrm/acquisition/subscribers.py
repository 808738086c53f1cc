"""What acquisition does when something happened."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.acquisition import jobs
from scrm.acquisition.events import NameWanted
from scrm.acquisition.service import arrivals, channel_codes, members, welcome_outcomes
from scrm.customers.events import FollowAdded, FollowChanged
from scrm.kernel.events import subscribe
from scrm.staff.events import StaffMerged
from scrm.wecom.events import EffectSettled


@subscribe(FollowAdded)
def tag_newcomers(events: Sequence[FollowAdded]) -> None:
    """Who comes through a channel code gets its tags."""
    arrivals.note_adds({event.follow_id: event.at for event in sorted(events, key=lambda e: e.at)})


@subscribe(FollowChanged)
def tag_late_known(events: Sequence[FollowChanged]) -> None:
    """Through which code somebody came may become known only when their details are fetched."""
    arrivals.note_states(event.follow_id for event in events)


@subscribe(NameWanted)
def ask_names(events: Sequence[NameWanted]) -> None:
    """Welcomes wait for a name."""
    jobs.plan_nameless_welcomes.wake()


@subscribe(EffectSettled)
def settle_calls(events: Sequence[EffectSettled]) -> None:
    """WeCom took or refused a channel code or a welcome."""
    codes = [event.effect_id for event in events if event.kind in channel_codes.KINDS]
    welcomes = [event.effect_id for event in events if event.kind == welcome_outcomes.KIND]
    if codes:
        channel_codes.settle(codes)
    if welcomes:
        welcome_outcomes.settle(welcomes)


@subscribe(StaffMerged)
def rename_members(events: Sequence[StaffMerged]) -> None:
    """A member turned out to be one we knew by another userid."""
    members.move_staff({event.gone_id: event.kept_id for event in events})
