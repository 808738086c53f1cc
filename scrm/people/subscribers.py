"""What people do when something happened."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.customers.events import CustomerChanged, CustomersFound, CustomersWritten
from scrm.kernel.events import subscribe
from scrm.media.registry import file_users, file_veil
from scrm.people import jobs
from scrm.people.events import CleaningWanted, FieldRulesChanged, PeopleMatched
from scrm.people.queries.files import field_naming, files_seen
from scrm.people.service.linking import link_customers

file_users(field_naming)
file_veil(files_seen)


@subscribe(CustomersFound)
def link_found(events: Sequence[CustomersFound]) -> None:
    """Who is a customer is somebody, from the same transaction on."""
    link_customers([id_ for event in events for id_ in event.customer_ids])


@subscribe(CustomersWritten)
def link_synced(events: Sequence[CustomersWritten]) -> None:
    """A full sync brought customers, or their unionids."""
    link_customers([id_ for event in events for id_ in event.customer_ids])


@subscribe(CustomerChanged)
def add_unionids(events: Sequence[CustomerChanged]) -> None:
    """A unionid became known."""
    changed = [event.customer_id for event in events if "unionid" in event.fields]
    if changed:
        link_customers(changed)


@subscribe(PeopleMatched)
def merge_soon(events: Sequence[PeopleMatched]) -> None:
    """Nothing speaks against these pairs."""
    jobs.merge_matched.wake()


@subscribe(FieldRulesChanged)
def choose_again(events: Sequence[FieldRulesChanged]) -> None:
    """Other values may stand now."""
    jobs.choose_values.wake()


@subscribe(CleaningWanted)
def clean_soon(events: Sequence[CleaningWanted]) -> None:
    """A run was started, or shall be applied or undone."""
    jobs.clean_values.wake()
