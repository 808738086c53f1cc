"""What a sync does when something happened."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.kernel.events import subscribe
from scrm.staff.events import FollowUsersFound
from scrm.sync import jobs
from scrm.sync.events import RulesOwed, SyncWanted
from tags.rules.jobs import evaluate_rules


@subscribe(SyncWanted)
def work_on_it(events: Sequence[SyncWanted]) -> None:
    """Begin, or go on, soon."""
    jobs.advance.wake()


@subscribe(RulesOwed)
def look_at_changed(events: Sequence[RulesOwed]) -> None:
    """Rules look at everybody a run changed."""
    evaluate_rules.wake()


@subscribe(FollowUsersFound)
def read_their_customers(events: Sequence[FollowUsersFound]) -> None:
    """Members who begin to serve customers bring the ones they have."""
    jobs.read_new_members.wake()
