"""Whose value changes when something happened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scrm.commerce.events import OrdersChanged
from scrm.kernel.events import subscribe
from scrm.people.events import PeopleForgotten, PeopleFound, PeopleMerged, PeopleSplit
from scrm.value import jobs
from scrm.value.service.recomputing import want


def _want(person_ids: Iterable[int]) -> None:
    want(person_ids)
    jobs.recompute_wanted.wake()


@subscribe(OrdersChanged)
def on_orders_changed(events: Sequence[OrdersChanged]) -> None:
    """Somebody bought, or gave back."""
    _want(person_id for event in events for person_id in event.person_ids)


@subscribe(PeopleFound)
def on_people_found(events: Sequence[PeopleFound]) -> None:
    """Somebody new is a lead."""
    _want(person_id for event in events for person_id in event.person_ids)


@subscribe(PeopleForgotten)
def on_people_forgotten(events: Sequence[PeopleForgotten]) -> None:
    """Who is no more is in no stage."""
    _want(person_id for event in events for person_id in event.person_ids)


@subscribe(PeopleMerged)
def on_people_merged(events: Sequence[PeopleMerged]) -> None:
    """The kept person bought what the other did."""
    _want(person_id for event in events for person_id in (event.kept, event.gone))


@subscribe(PeopleSplit)
def on_people_split(events: Sequence[PeopleSplit]) -> None:
    """Both have their own orders again."""
    _want(person_id for event in events for person_id in (event.person_id, event.restored))
