"""What customers do when something happened."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.customers import jobs
from scrm.customers.events import DetailsWanted
from scrm.customers.service import merging, remarks
from scrm.kernel.events import subscribe
from scrm.staff.events import StaffMerged
from scrm.wecom.events import EffectSettled


@subscribe(DetailsWanted)
def fetch_details(events: Sequence[DetailsWanted]) -> None:
    """Ask WeCom soon."""
    jobs.refresh_customers.wake()


@subscribe(StaffMerged)
def move_relations(events: Sequence[StaffMerged]) -> None:
    """Two rows of one member became one; so do their relations."""
    for event in events:
        merging.merge_follows(event.kept_id, event.gone_id)


@subscribe(EffectSettled)
def write_accepted_remarks(events: Sequence[EffectSettled]) -> None:
    """WeCom took a remark; no callback will tell."""
    remarks.settle_remarks([event for event in events if event.kind == "remark"])
