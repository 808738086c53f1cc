"""What other systems hear of: each reaction writes events in the transaction of what happened, if anybody wants them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from scrm.audiences.events import AudienceFilled, AudienceMembersChanged
from scrm.broadcasts.events import (
    BroadcastCancelled,
    BroadcastDelivered,
    BroadcastFinished,
    BroadcastFrozen,
)
from scrm.commerce.events import OrdersChanged, Step
from scrm.customers.events import CustomerChanged, CustomersWritten, FollowAdded, FollowChanged, FollowLost
from scrm.groups.events import GroupChanged, GroupJoined, GroupLeft
from scrm.kernel.events import subscribe
from scrm.people.events import PeopleMerged, PeopleSplit, PersonChanged
from scrm.webhooks import jobs, queries
from scrm.webhooks.events import DeliveriesWanted
from scrm.webhooks.service.noting import News, moment, note, wanted
from tags.events import TagsChanged


@subscribe(DeliveriesWanted)
def send(events: Sequence[DeliveriesWanted]) -> None:
    """Begin soon."""
    jobs.deliver.wake()


@subscribe(FollowAdded)
def on_follow_added(events: Sequence[FollowAdded]) -> None:
    """Members gained customers; those who had been lost come back."""
    if not wanted("customer.added", "customer.restored"):
        return
    back = queries.follows_lost_before([(event.follow_id, event.at) for event in events])
    items: dict[str, list[dict[str, object]]] = {"customer.added": [], "customer.restored": []}
    for event in events:
        type_ = "customer.restored" if (event.follow_id, event.at) in back else "customer.added"
        items[type_].append({**_relation(event), "at": moment(event.at)})
    note(News(type_, found) for type_, found in items.items())


@subscribe(FollowLost)
def on_follow_lost(events: Sequence[FollowLost]) -> None:
    """Members lost customers."""
    if wanted("customer.lost"):
        lost = [{**_relation(event), "by": str(event.by), "at": moment(event.at)} for event in events]
        note([News("customer.lost", lost)])


@subscribe(FollowChanged)
def on_follow_changed(events: Sequence[FollowChanged]) -> None:
    """Relations changed."""
    if wanted("customer.follow_changed"):
        note([News("customer.follow_changed", [_relation(event) for event in dict.fromkeys(events)])])


def _relation(event: FollowAdded | FollowLost | FollowChanged) -> dict[str, object]:
    return {"customer_id": event.customer_id, "follow_id": event.follow_id, "staff_id": event.staff_id}


@subscribe(CustomerChanged)
def on_customer_changed(events: Sequence[CustomerChanged]) -> None:
    """Fields of customers changed."""
    if wanted("customer.changed"):
        changed = [{"customer_id": event.customer_id, "fields": sorted(event.fields)} for event in events]
        note([News("customer.changed", changed)])


@subscribe(CustomersWritten)
def on_customers_written(events: Sequence[CustomersWritten]) -> None:
    """A full sync wrote customers."""
    if wanted("customer.synced"):
        ids = dict.fromkeys(id_ for event in events for id_ in event.customer_ids)
        note([News("customer.synced", [{"customer_id": id_} for id_ in ids])])


@subscribe(PersonChanged)
def on_person_changed(events: Sequence[PersonChanged]) -> None:
    """Values of persons changed."""
    if wanted("person.changed"):
        changed = [{"person_id": event.person_id, "fields": sorted(event.fields)} for event in events]
        note([News("person.changed", changed)])


@subscribe(PeopleMerged)
def on_people_merged(events: Sequence[PeopleMerged]) -> None:
    """Persons turned out to be one."""
    if wanted("person.merged"):
        merged = [{"kept_id": event.kept, "gone_id": event.gone} for event in events]
        note([News("person.merged", merged)])


@subscribe(PeopleSplit)
def on_people_split(events: Sequence[PeopleSplit]) -> None:
    """A merge was undone."""
    if wanted("person.split"):
        split = [{"person_id": event.person_id, "restored_id": event.restored} for event in events]
        note([News("person.split", split)])


@subscribe(TagsChanged)
def on_tags_changed(events: Sequence[TagsChanged]) -> None:
    """Customers got or lost tags; those of one source share events."""
    if wanted("tag.given"):
        note(_tagged("tag.given", [(each.source, each.customer_id, each.added) for each in events]))
    if wanted("tag.taken"):
        note(_tagged("tag.taken", [(each.source, each.customer_id, each.removed) for each in events]))


def _tagged(type_: str, changes: Sequence[tuple[str, int, tuple[int, ...]]]) -> Iterator[News]:
    by_source: defaultdict[str, list[dict[str, object]]] = defaultdict(list)
    for source, customer_id, tag_ids in changes:
        if tag_ids:
            by_source[source].append({"customer_id": customer_id, "tag_ids": list(tag_ids)})
    return (News(type_, items, {"source": source}) for source, items in by_source.items())


@subscribe(OrdersChanged)
def on_orders_changed(events: Sequence[OrdersChanged]) -> None:
    """Orders became known, or reached a status; the first status of a new order is told too."""
    if not wanted("order.created", "order.status_changed"):
        return
    steps = [step for event in events for step in event.new_steps]
    whose = {step.order_id: step.person_id for event in events for step in event.steps}
    made = sorted({order_id for event in events for order_id in event.made} & whose.keys())
    note(
        [
            News("order.created", [{"order_id": id_, "person_id": whose[id_]} for id_ in made]),
            News("order.status_changed", [_step(step) for step in steps]),
        ]
    )


def _step(step: Step) -> dict[str, object]:
    at = moment(step.at)
    return {"order_id": step.order_id, "person_id": step.person_id, "status": step.status, "at": at}


@subscribe(BroadcastFrozen)
def on_broadcast_frozen(events: Sequence[BroadcastFrozen]) -> None:
    """Who receives them is fixed."""
    if wanted("broadcast.frozen"):
        note(News("broadcast.frozen", common={"broadcast_id": event.broadcast_id}) for event in events)


@subscribe(BroadcastFinished)
def on_broadcast_finished(events: Sequence[BroadcastFinished]) -> None:
    """Their results are final."""
    if not wanted("broadcast.finished"):
        return
    ids = list(dict.fromkeys(event.broadcast_id for event in events))
    results = queries.broadcast_results(ids)
    note(
        News("broadcast.finished", common={"broadcast_id": id_, "results": results.get(id_, {})})
        for id_ in ids
    )


@subscribe(BroadcastCancelled)
def on_broadcast_cancelled(events: Sequence[BroadcastCancelled]) -> None:
    """Somebody stopped them."""
    if wanted("broadcast.cancelled"):
        note(News("broadcast.cancelled", common={"broadcast_id": event.broadcast_id}) for event in events)


@subscribe(BroadcastDelivered)
def on_broadcast_delivered(events: Sequence[BroadcastDelivered]) -> None:
    """Customers received them."""
    if wanted("broadcast.delivered"):
        note(
            News(
                "broadcast.delivered",
                [{"customer_id": id_, "at": moment(at)} for id_, at in event.customers],
                {"broadcast_id": event.broadcast_id, "staff_id": event.staff_id},
            )
            for event in events
        )


@subscribe(AudienceMembersChanged)
def on_members_changed(events: Sequence[AudienceMembersChanged]) -> None:
    """Customers came onto static lists, or went."""
    if wanted("audience.members_changed"):
        note(
            News(
                "audience.members_changed",
                [{"customer_id": id_} for id_ in event.customer_ids],
                {"audience_id": event.audience_id},
            )
            for event in events
        )


@subscribe(AudienceFilled)
def on_audience_filled(events: Sequence[AudienceFilled]) -> None:
    """Many customers came onto static lists at once."""
    if wanted("audience.filled"):
        note(
            News("audience.filled", common={"audience_id": event.audience_id, "at": moment(event.at)})
            for event in events
        )


@subscribe(GroupJoined)
def on_group_joined(events: Sequence[GroupJoined]) -> None:
    """Somebody came into groups."""
    if wanted("group.joined"):
        note([News("group.joined", [_stay(event) for event in events])])


@subscribe(GroupLeft)
def on_group_left(events: Sequence[GroupLeft]) -> None:
    """Somebody left groups."""
    if wanted("group.left"):
        note([News("group.left", [_stay(event) for event in events])])


def _stay(event: GroupJoined | GroupLeft) -> dict[str, object]:
    at = moment(event.at)
    return {"group_id": event.group_id, "stay_id": event.stay_id, "customer_id": event.customer_id, "at": at}


@subscribe(GroupChanged)
def on_group_changed(events: Sequence[GroupChanged]) -> None:
    """Groups changed."""
    if wanted("group.changed"):
        changed = [
            {"group_id": each.group_id, "change": each.change, "at": moment(each.at)} for each in events
        ]
        note([News("group.changed", changed)])
