"""What people do when something happened."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.customers.events import CustomerChanged, CustomersFound
from scrm.kernel.events import subscribe
from scrm.people.service.linking import link_customers


@subscribe(CustomersFound)
def link_found(events: Sequence[CustomersFound]) -> None:
    """Who is a customer is somebody, from the same transaction on."""
    link_customers([id_ for event in events for id_ in event.customer_ids])


@subscribe(CustomerChanged)
def add_unionids(events: Sequence[CustomerChanged]) -> None:
    """A unionid became known."""
    changed = [event.customer_id for event in events if "unionid" in event.fields]
    if changed:
        link_customers(changed)
