"""Which happenings change which facts; rules that read them get the customer on their to-do list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scrm.behaviour.events import BehaviourStored
from scrm.behaviour.registry import property_users
from scrm.commerce.events import OrdersChanged, ProductsChanged
from scrm.commerce.queries import buyers_of
from scrm.conversations.events import MessageLinked, MessageStored
from scrm.conversations.models import Direction
from scrm.customers.events import CustomerChanged, CustomersFound, FollowAdded, FollowChanged, FollowLost
from scrm.groups.events import GroupChanged, GroupJoined, GroupLeft
from scrm.groups.queries import customers_of_groups
from scrm.kernel.events import subscribe
from scrm.people.events import ConsentChanged, PeopleMerged, PeopleSplit, PersonChanged
from scrm.portraits.events import TraitsChanged
from scrm.portraits.registry import trait_users
from scrm.value.events import ValueChanged
from scrm.value.registry import stage_users
from tags.events import RuleRunWanted, TagReasonsChanged, TagsChanged
from tags.queries import groups_of_tags
from tags.rules import jobs
from tags.rules.leaves import EVERYTHING
from tags.rules.queries.property_users import rules_naming_properties
from tags.rules.queries.stage_users import rules_naming_stage
from tags.rules.queries.trait_users import rules_naming_trait
from tags.rules.service.marking import Fact, facts_read, mark, mark_people

property_users(rules_naming_properties)
trait_users(rules_naming_trait)
stage_users(rules_naming_stage)


def _note(facts: Iterable[Fact]) -> None:
    if mark(facts):
        jobs.evaluate_rules.wake()


@subscribe(CustomersFound)
def on_customers_found(events: Sequence[CustomersFound]) -> None:
    """Groups and messages of a stranger may belong to the customer from now on."""
    _note(Fact(customer_id, EVERYTHING) for event in events for customer_id in event.customer_ids)


@subscribe(FollowAdded)
def on_follow_added(events: Sequence[FollowAdded]) -> None:
    """A new relation gets the tags of every rule that holds."""
    _note(Fact(event.customer_id, EVERYTHING) for event in events)


@subscribe(FollowChanged)
def on_follow_changed(events: Sequence[FollowChanged]) -> None:
    """It may have been seen for the first time, so every rule looks at it."""
    _note(Fact(event.customer_id, EVERYTHING) for event in events)


@subscribe(FollowLost)
def on_follow_lost(events: Sequence[FollowLost]) -> None:
    """Its rules' tags go or stay; conditions on relations change."""
    _note(Fact(event.customer_id, EVERYTHING) for event in events)


@subscribe(CustomerChanged)
def on_customer_changed(events: Sequence[CustomerChanged]) -> None:
    """Fields of the customer changed."""
    _note(Fact(event.customer_id, f"customer.{name}") for event in events for name in event.fields)


@subscribe(GroupJoined)
def on_group_joined(events: Sequence[GroupJoined]) -> None:
    """A customer came into a group."""
    _note_groups(events)


@subscribe(GroupLeft)
def on_group_left(events: Sequence[GroupLeft]) -> None:
    """A customer left a group."""
    _note_groups(events)


def _note_groups(events: Sequence[GroupJoined | GroupLeft]) -> None:
    _note(
        Fact(event.customer_id, fact)
        for event in events
        if event.customer_id is not None
        for fact in ("groups", f"group:{event.group_id}")
    )


@subscribe(MessageStored)
def on_message_stored(events: Sequence[MessageStored]) -> None:
    """A customer said something."""
    _note_messages(events)


@subscribe(MessageLinked)
def on_message_linked(events: Sequence[MessageLinked]) -> None:
    """A customer had said something before they were one."""
    _note_messages(events)


def _note_messages(events: Sequence[MessageStored | MessageLinked]) -> None:
    _note(
        Fact(event.customer_id, "messages")
        for event in events
        if event.customer_id is not None and event.direction == Direction.IN
    )


@subscribe(GroupChanged)
def on_group_changed(events: Sequence[GroupChanged]) -> None:
    """Whoever is in a group is in one of another owner."""
    members = customers_of_groups({event.group_id for event in events if event.change == "owner"})
    _note(Fact(id_, fact) for group_id, id_ in members for fact in (f"group:{group_id}", "groups"))


@subscribe(TagsChanged)
def on_tags_changed(events: Sequence[TagsChanged]) -> None:
    """A customer's tags changed; the rule that did it is not woken by it."""
    changed = {tag_id for event in events for tag_id in (*event.added, *event.removed)}
    groups = groups_of_tags(changed)
    _note(
        Fact(event.customer_id, fact, _rule_of(event.source))
        for event in events
        for tag_id in (*event.added, *event.removed)
        for fact in (f"tag:{tag_id}", f"tag_group:{groups.get(tag_id)}")
    )


@subscribe(TagReasonsChanged)
def on_reasons_changed(events: Sequence[TagReasonsChanged]) -> None:
    """Who wants tags, and since when, changed; only conditions that ask for that are concerned."""
    if not any(fact.startswith("reason:") for fact in facts_read()):
        return
    changes = {change for event in events for change in event.changes}
    groups = groups_of_tags({tag_id for _, tag_id, _ in changes})
    _note(
        Fact(customer_id, f"reason:{fact}", _rule_of(source))
        for customer_id, tag_id, source in changes
        for fact in (f"tag:{tag_id}", f"tag_group:{groups.get(tag_id)}")
    )


def _rule_of(source: str) -> int:
    kind, _, number = source.partition(":")
    return int(number) if kind == "rule" else 0


@subscribe(PersonChanged)
def on_person_changed(events: Sequence[PersonChanged]) -> None:
    """Current values of persons' fields changed."""
    _note_people((event.person_id, f"field:{name}") for event in events for name in event.fields)


@subscribe(ConsentChanged)
def on_consent_changed(events: Sequence[ConsentChanged]) -> None:
    """Persons may be contacted, or may not be any more."""
    _note_people((event.person_id, f"consent:{event.channel}") for event in events)


@subscribe(PeopleMerged)
def on_people_merged(events: Sequence[PeopleMerged]) -> None:
    """Everything that is known of one is now known of the other."""
    _note_people((event.kept, EVERYTHING) for event in events)


@subscribe(PeopleSplit)
def on_people_split(events: Sequence[PeopleSplit]) -> None:
    """Both have again what was theirs."""
    _note_people((id_, EVERYTHING) for event in events for id_ in (event.person_id, event.restored))


@subscribe(BehaviourStored)
def on_behaviour_stored(events: Sequence[BehaviourStored]) -> None:
    """Persons did something, or it was taken back."""
    _note_people((id_, f"event:{type_}") for event in events for id_, type_ in event.pairs())


@subscribe(OrdersChanged)
def on_orders_changed(events: Sequence[OrdersChanged]) -> None:
    """Orders of persons are new, or changed."""
    _note_people((person_id, "orders") for event in events for person_id in event.person_ids)


@subscribe(ProductsChanged)
def on_products_changed(events: Sequence[ProductsChanged]) -> None:
    """Products belong to another category or brand: orders with them read differently."""
    if "products" in facts_read():
        people = buyers_of({id_ for event in events for id_ in event.product_ids})
        _note_people((person_id, "products") for person_id in people)


@subscribe(TraitsChanged)
def on_traits_changed(events: Sequence[TraitsChanged]) -> None:
    """Computed traits of persons came, went or have another value."""
    _note_people(
        (person_id, f"trait:{trait_id}")
        for event in events
        for person_id in event.person_ids
        for trait_id in event.trait_ids
    )


@subscribe(ValueChanged)
def on_value_changed(events: Sequence[ValueChanged]) -> None:
    """RFM scores or the stage of persons changed."""
    _note_people(
        (person_id, fact) for event in events for person_id in event.person_ids for fact in ("rfm", "stage")
    )


def _note_people(facts: Iterable[tuple[int, str]]) -> None:
    if mark_people(facts):
        jobs.evaluate_rules.wake()


@subscribe(RuleRunWanted)
def on_run_wanted(events: Sequence[RuleRunWanted]) -> None:
    """Begin soon."""
    jobs.backfill_rules.wake()
