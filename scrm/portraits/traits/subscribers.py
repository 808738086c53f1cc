"""Whose traits change when something happened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scrm.behaviour.events import BehaviourStored
from scrm.commerce.events import OrdersChanged, ProductsChanged
from scrm.kernel.events import subscribe
from scrm.people.events import PeopleMerged, PeopleSplit
from scrm.portraits.traits import jobs
from scrm.portraits.traits.service.computing import ORDERS, Wanted, want, want_buyers


def _want(pairs: Iterable[Wanted]) -> None:
    if want(pairs):
        jobs.compute_wanted.wake()


@subscribe(BehaviourStored)
def on_behaviour(events: Sequence[BehaviourStored]) -> None:
    """Persons did things of these types; where some changed or went, all types told of are looked at."""
    added = {(one.person_id, one.type_id) for event in events if not event.recount for one in event.new}
    _want(added | {(p, t) for e in events if e.recount for p in e.person_ids for t in e.type_ids})


@subscribe(OrdersChanged)
def on_orders(events: Sequence[OrdersChanged]) -> None:
    """Somebody bought, or gave back."""
    _want({(person_id, ORDERS) for event in events for person_id in event.person_ids})


@subscribe(ProductsChanged)
def on_products(events: Sequence[ProductsChanged]) -> None:
    """Products belong to other categories or brands."""
    if want_buyers([id_ for event in events for id_ in event.product_ids]):
        jobs.compute_wanted.wake()


@subscribe(PeopleMerged)
def on_merged(events: Sequence[PeopleMerged]) -> None:
    """The kept person did what the other did."""
    _want((person_id, None) for event in events for person_id in (event.kept, event.gone))


@subscribe(PeopleSplit)
def on_split(events: Sequence[PeopleSplit]) -> None:
    """Both have done their own again."""
    _want((person_id, None) for event in events for person_id in (event.person_id, event.restored))
