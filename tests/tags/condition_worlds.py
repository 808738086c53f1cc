"""Small random worlds: customers with all that conditions look at, as plain values and as rows."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from sqlalchemy import delete, insert

from scrm.acquisition.models import ChannelCode
from scrm.audiences.models import Audience, AudienceMember
from scrm.audiences.queries.in_audience import LEAF
from scrm.behaviour.models import BehaviourEvent, EventDay, EventType
from scrm.behaviour.service.counting import recount_days
from scrm.commerce.models import Order, OrderLine, Product
from scrm.conversations.models import Channel, Direction, Message
from scrm.customers.models import Customer, Follow
from scrm.groups.models import CustomerGroup, GroupStay
from scrm.people.models import CustomerPerson, CustomField, Person, PersonConsent, PersonField
from scrm.portraits.models import Trait, TraitValue
from scrm.staff.models import Department, Staff, StaffDepartment
from scrm.value.models import Lifecycle, RfmScore
from tags.models import Tag, TagAssignment, TagGroup, TagSource
from tags.rules.registry import contribute_leaf
from tests.tags.cases_of_people import PROPERTIES

contribute_leaf(LEAF)  # as scrm.audiences does when the program starts
NOW = datetime(2026, 3, 10, 4, 30, tzinfo=UTC)  # half past twelve in Shanghai
SOURCES = ["manual:a", "rule:1", "wecom"]
TEXTS = [None, "", "vip", "VIP 客户", "王"]


def moments(most=10):
    """Hours before :data:`NOW`, on edges of days of 24 hours and beside them."""
    return st.integers(0, most * 4).map(lambda quarter: NOW - timedelta(hours=quarter * 6))


def record(**parts):
    return st.fixed_dictionaries(parts)


def some(strategy):
    return st.none() | strategy


assignments = record(
    tag=st.integers(1, 3),
    state=st.sampled_from(["active", "pending_add", "pending_remove", "removed"]),
    sources=st.dictionaries(st.sampled_from(SOURCES), moments(), max_size=2),
)
follows = record(
    staff=st.integers(1, 3), added_at=some(moments()), half_added_at=some(moments()),
    deleted_by_staff_at=some(moments()), deleted_by_customer_at=some(moments()), state=st.sampled_from([None, "c1", "c2"]),
    remark=st.sampled_from(TEXTS), remark_mobiles=st.sampled_from([None, [], ["138"], ["138", "139"]]),
    add_way=st.sampled_from([None, 1, 16]),
    assignments=st.lists(assignments, max_size=2, unique_by=lambda each: each["tag"]),
)  # fmt: skip
stays = record(group=st.integers(1, 2), joined_at=moments(), left=st.booleans())
messages = record(text=st.sampled_from(["价格", "price 100%", "hi"]), sent_at=moments(), said=st.booleans())
customers = record(
    name=st.sampled_from(TEXTS), gender=st.sampled_from([None, 0, 1, 2]), person=some(st.integers(1, 2)),
    follows=st.lists(follows, max_size=2, unique_by=lambda each: each["staff"]),
    stays=st.lists(stays, max_size=2, unique_by=lambda each: (each["group"], each["joined_at"])),
    messages=st.lists(messages, max_size=2), lists=st.sets(st.just(1)),
)  # fmt: skip
events = record(
    type_id=st.integers(1, 2),
    at=moments(),
    properties=st.fixed_dictionaries(
        {},
        optional={
            "price": st.sampled_from([5, 5.5, 19.99, "5"]),
            "page": st.sampled_from(["", "a", "首页", "5", 5, None]),
            "member": st.booleans(),
            "labels": st.sampled_from([[], ["x"], ["x", "y"]]),
        },
    ),
)
orders = record(
    placed_at=moments(), paid_at=some(moments()), amount=st.sampled_from([None, 10, 99.5]), product=some(st.integers(1, 2)),
    currency=st.sampled_from(["CNY", "USD"]), status=st.sampled_from(["placed", "paid"]), shop=st.sampled_from([None, "a", "b"]),
)  # fmt: skip
scores = record(
    **dict.fromkeys("rfm", st.integers(1, 5)), frequency=st.integers(1, 3), monetary=st.sampled_from([10, 19.99, 99.5]),
    last_on=st.sampled_from([NOW.date() - timedelta(days=days) for days in (0, 1, 8, 40)]),
)  # fmt: skip
stages = record(stage=st.sampled_from(["lead", "loyal"]), since=moments())
consents = record(contactable=st.booleans(), at=moments())
TRAITS = {1: "value_num", 2: "value_text", 3: "value_list", 4: "value_time"}
traits = st.fixed_dictionaries(
    {},
    optional={
        1: st.sampled_from([5, 19.99]), 2: st.sampled_from(["a", "首页"]), 3: st.sampled_from([["a"], ["a", "b"]]), 4: moments(),
    },
)  # fmt: skip
people = record(
    score=some(scores),
    stage=some(stages),
    traits=traits,
    consents=st.dictionaries(st.sampled_from(["sms", "email"]), consents, max_size=2),
    fields=st.fixed_dictionaries(
        {},
        optional={
            "company": st.sampled_from(["甲", "甲乙"]),
            "gender": st.sampled_from(["male", "female"]),
            "birthday": st.sampled_from(
                ["1992-02-29", "1990-03-10", "1990-03-13", "1987-02-27", "2001-09-01"]
            ),
            "height": st.sampled_from([170, 180.5]),
            "likes": st.sampled_from([[], ["a"], ["a", "b"]]),
            "address": st.sampled_from([{"city": "上海"}, {"country": "中国"}]),
        },
    ),
    events=st.lists(events, max_size=4),
    orders=st.lists(orders, max_size=3),
)
worlds = record(customers=st.lists(customers, min_size=1, max_size=3), people=st.tuples(people, people))
PRODUCTS = {1: ("饮料", "甲"), 2: ("食品", None)}
DEPARTMENT_OF = {1: {1}, 2: {1, 2}, 3: {1, 2, 3}}  # staff → departments, those above included
OWNER_OF = {1: 1, 2: 2}  # group → staff
TAGS_OF_GROUP = {1: {1, 2}, 2: {3}}
NAMED_VIP = {"kind": "field", "field": "customer.name", "op": "equals", "value": "vip"}
TAGGED_LATELY = {"kind": "has_tag", "tag_ids": [1], "since": {"last_days": 2}}
AUDIENCES = {  # id → condition; None: a list
    1: None,
    2: {"any": [NAMED_VIP, {"not": TAGGED_LATELY}]},
    3: {"all": [{"kind": "in_audience", "audience_ids": [1, 2]}, {"kind": "follow"}]},
}


def write_catalogue(session):
    """What the random worlds refer to."""

    def put(model, *rows):
        session.execute(insert(model), list(rows))

    put(Staff, *[{"id": i, "userid": f"s{i}"} for i in (1, 2, 3)])
    put(Department, *[{"id": i, "name": f"d{i}", "parent_id": i - 1} for i in (1, 2, 3)])
    put(StaffDepartment, *[{"staff_id": i, "department_id": i} for i in (1, 2, 3)])
    put(TagGroup, {"id": 1, "name": "g1"}, {"id": 2, "name": "g2"})
    put(Tag, *[{"id": i, "group_id": 1 if i < 3 else 2, "name": f"t{i}"} for i in (1, 2, 3)])
    code = {"staff_ids": [], "tag_ids": [], "contact_type": 2}
    put(ChannelCode, *[{"id": i, "name": f"c{i}", "state": f"c{i}", **code} for i in (1, 2)])
    put(CustomerGroup, *[{"id": i, "chat_id": f"wr{i}", "owner_staff_id": i} for i in (1, 2)])
    put(
        EventType,
        *[
            {"id": i, "key": f"e{i}", "name_zh": f"事{i}", "name_en": f"e{i}", "properties": PROPERTIES}
            for i in (1, 2)
        ],
    )
    shared = {"source": "t", "version_at": NOW}
    put(
        Product,
        *[
            {"id": i, "source_id": str(i), "name": f"p{i}", "category": c, "brand": b, **shared}
            for i, (c, b) in PRODUCTS.items()
        ],
    )
    own = {"survivorship": "newest", "name_en": "x", "name_zh": "x"}
    choices = [{"value": v, "zh": v, "en": v} for v in "ab"]
    put(
        CustomField,
        {"key": "height", "type": "number", "choices": [], **own},
        {"key": "likes", "type": "multi_choice", "choices": choices, **own},
    )
    put(Person, {"id": 1}, {"id": 2})
    named = {"definition": {}, "changed_at": NOW}
    put(Trait, *[{"id": i, "key": f"t{i}", "name_zh": f"特{i}", "name_en": f"t{i}", **named} for i in TRAITS])
    kinds = {id_: "static" if tree is None else "tree" for id_, tree in AUDIENCES.items()}
    put(
        Audience,
        *[
            {"id": id_, "kind": kinds[id_], "name": f"a{id_}", "condition": tree, "made_by": "t"}
            for id_, tree in AUDIENCES.items()
        ],
    )


def forget(session):
    """Take the customers of the world before away."""
    for model in (
        AudienceMember,
        CustomerPerson,
        TagSource,
        TagAssignment,
        Follow,
        GroupStay,
        Message,
        Customer,
        PersonField,
        RfmScore,
        Lifecycle,
        PersonConsent,
        TraitValue,
        BehaviourEvent,
        EventDay,
        OrderLine,
        Order,
    ):
        session.execute(delete(model))


def write(session, world):
    """The world as rows; customer i has the id i."""
    rows = {
        model: []
        for model in (
            Customer,
            AudienceMember,
            CustomerPerson,
            Follow,
            TagAssignment,
            TagSource,
            GroupStay,
            Message,
            PersonField,
            RfmScore,
            Lifecycle,
            PersonConsent,
            TraitValue,
            BehaviourEvent,
            Order,
            OrderLine,
        )
    }
    for i, customer in enumerate(world["customers"], 1):
        _customer_rows(rows, i, customer)
    for i, person in enumerate(world["people"], 1):
        _person_rows(rows, i, person)
    for model, made in rows.items():
        if made:
            session.execute(insert(model), made)
    if rows[BehaviourEvent]:
        recount_days(range(1, len(world["people"]) + 1))


def _customer_rows(rows, i, customer):
    rows[Customer].append(
        {"id": i, "external_userid": f"wm{i}", "name": customer["name"], "gender": customer["gender"]}
    )
    if customer["person"]:
        rows[CustomerPerson].append({"customer_id": i, "person_id": customer["person"]})
    rows[AudienceMember] += [
        {"audience_id": id_, "customer_id": i, "source": "t", "added_at": NOW} for id_ in customer["lists"]
    ]
    for follow in customer["follows"]:
        own = {key: value for key, value in follow.items() if key not in ("staff", "assignments")}
        id_ = len(rows[Follow]) + 1
        rows[Follow].append({"id": id_, "customer_id": i, "staff_id": follow["staff"], **own})
        for each in follow["assignments"]:
            number = len(rows[TagAssignment]) + 1
            rows[TagAssignment].append(
                {
                    "id": number,
                    "customer_id": i,
                    "follow_id": id_,
                    "tag_id": each["tag"],
                    "state": each["state"],
                    "changed_at": NOW,
                }
            )
            rows[TagSource] += [
                {"assignment_id": number, "source": s, "since": at} for s, at in each["sources"].items()
            ]
    for stay in customer["stays"]:
        rows[GroupStay].append(
            {"group_id": stay["group"], "member_id": f"wm{i}", "member_type": 2, "customer_id": i,
             "joined_at": stay["joined_at"], "left_at": NOW if stay["left"] else None}
        )  # fmt: skip
    for message in customer["messages"]:
        rows[Message].append(
            {"sent_at": message["sent_at"], "channel": Channel.KF, "message_key": f"m{i}-{len(rows[Message])}", "kind": "text",
             "direction": Direction.IN if message["said"] else Direction.OUT, "text": message["text"], "content": {}, "customer_id": i}
        )  # fmt: skip


def _person_rows(rows, i, person):
    for key, value in person["fields"].items():
        rows[PersonField].append({"person_id": i, "field": key, "value": value, "source": "t", "at": NOW})
    worked_out = {"person_id": i, "computed_at": NOW}
    if person["score"]:
        rows[RfmScore].append({**person["score"], **worked_out})
    if person["stage"]:
        rows[Lifecycle].append({"person_id": i, **person["stage"]})
    rows[TraitValue] += [
        {**dict.fromkeys(TRAITS.values()), "trait_id": id_, TRAITS[id_]: value, **worked_out}
        for id_, value in person["traits"].items()
    ]
    rows[PersonConsent] += [
        {"person_id": i, "channel": channel, "source": "t", **said}
        for channel, said in person["consents"].items()
    ]
    for event in person["events"]:
        rows[BehaviourEvent].append(
            {**event, "person_id": i, "source": "t", "source_id": str(len(rows[BehaviourEvent]))}
        )
    for order in person["orders"]:
        id_ = len(rows[Order]) + 1
        own = {key: value for key, value in order.items() if key != "product"}
        rows[Order].append(
            {"id": id_, "person_id": i, "source": "t", "source_id": str(id_), "status_at": NOW, **own}
        )
        if order["product"]:
            rows[OrderLine].append(
                {
                    "order_id": id_,
                    "line_no": 1,
                    "product_ref": "p",
                    "product_id": order["product"],
                    "quantity": 1,
                    "amount": 1,
                }
            )
