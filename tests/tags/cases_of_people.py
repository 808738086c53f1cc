"""Cases for the leaves about what a person did and bought; see :mod:`tests.tags.cases`."""

import hashlib
from datetime import timedelta

from scrm.behaviour.models import BehaviourEvent, EventType
from scrm.behaviour.service.counting import recount_days
from scrm.commerce.models import Order, OrderLine, Product
from scrm.kernel.clock import utcnow
from scrm.kernel.settings import corp_today
from scrm.people.models import CustomerPerson, Person, PersonConsent
from scrm.portraits.models import Trait, TraitValue
from scrm.value.models import Lifecycle, RfmScore
from tests.tags.conftest import add, numbers

PROPERTIES = [
    {"key": "price", "type": "number", "name_zh": "价格", "name_en": "price"},
    {"key": "page", "type": "text", "name_zh": "页面", "name_en": "page"},
    {"key": "member", "type": "boolean", "name_zh": "会员", "name_en": "member"},
    {"key": "until", "type": "time", "name_zh": "截止", "name_en": "until"},
    {"key": "labels", "type": "list", "name_zh": "标签", "name_en": "labels"},
]


def person_of(customer):
    person = add(Person())
    add(CustomerPerson(customer_id=customer.id, person_id=person.id))
    return person.id


def event_type(name="浏览"):
    key = f"e{next(numbers)}"
    return add(EventType(key=key, name_zh=name, name_en=key, properties=PROPERTIES))


def happened(person_id, type_id, days_ago, **properties):
    moment = utcnow() - timedelta(days=days_ago, seconds=1)
    add(
        BehaviourEvent(
            at=moment, person_id=person_id, type_id=type_id, properties=properties, source="test",
            source_id=str(next(numbers)),
        )
    )  # fmt: skip
    recount_days([person_id])


def did(*happenings, of_another=False):
    """The customer's person did one thing (days ago, properties) each; of a type that is not asked for, or it is."""

    def make(world, customer, staff):
        type_id, person_id = event_type().id, person_of(customer)
        for days_ago, properties in happenings:
            happened(person_id, event_type().id if of_another else type_id, days_ago, **properties)
        return {"event_type_id": type_id}

    return make


A_DAY = {"last_days": 1}
FIFTH_DAY = dict.fromkeys(
    ("from", "to"), str((utcnow() + timedelta(hours=8) - timedelta(days=5)).date())
)  # in Shanghai


def then(*happenings):
    """Days ago of first (``a``) and second (``b``) things, such as ``("a", 3), ("b", 2)``."""

    def make(world, customer, staff):
        types, person_id = {"a": event_type().id, "b": event_type().id}, person_of(customer)
        for name, days_ago, *properties in happenings:
            happened(person_id, types[name], days_ago, **(properties[0] if properties else {}))
        return {"first": {"event_type_id": types["a"]}, "then": {"event_type_id": types["b"]}}

    return make


def ordered(*orders, lines=(), **asked):
    """The customer's person has orders, each with the product on it; ``asked`` names what is asked for."""

    def make(world, customer, staff):
        person_id = person_of(customer)
        product = add(
            Product(
                source="t",
                source_id=str(next(numbers)),
                name="茶",
                category="饮料",
                brand="甲",
                version_at=utcnow(),
            )
        )
        for days_ago, amount, fields in orders:
            moment = utcnow() - timedelta(days=days_ago, seconds=1)
            told = {"status": "placed", "currency": "CNY", **fields}
            row = add(
                Order(person_id=person_id, source="t", source_id=str(next(numbers)), status_at=moment, placed_at=moment,
                      amount=amount, **told)
            )  # fmt: skip
            add(
                OrderLine(
                    order_id=row.id, line_no=1, product_ref="p", product_id=product.id, quantity=1, amount=1
                )
            )
        return {key: [product.id] if key == "product_ids" else value for key, value in asked.items()}

    return make


def drawn(inside):
    """The sample reaches just up to the customer's place, or begins just after it."""

    def make(world, customer, staff):
        person_id = person_of(customer)
        place = int(hashlib.md5(f"a:{person_id}".encode()).hexdigest()[:8], 16) % 10_000  # noqa: S324
        if inside:
            return {"percent": min(1, (10_000 - place) / 100), "offset": place / 100, "salt": "a"}
        return {"percent": 0.01, "offset": (place + 1) % 10_000 / 100, "salt": "a"}

    return make


def nothing(world, customer, staff):
    person_of(customer)
    return {"event_type_id": event_type().id}


def no_order(world, customer, staff):
    person_of(customer)


def where(*filters):
    return {"where": [dict(zip(("property", "op", "value"), each, strict=False)) for each in filters]}


def many(measure, op, *values, **more):
    given = {"values": list(values)} if op == "between" else {"value": values[0]}
    return {"measure": measure, "op": op, **given, **more}


def scored(**figures):
    def make(world, customer, staff):
        days = figures.pop("recency_days", 3)
        told = {
            "last_on": corp_today() - timedelta(days=days),
            "frequency": 4,
            "monetary": 99.5,
            "r": 5,
            "f": 3,
            "m": 2,
            **figures,
        }
        add(RfmScore(person_id=person_of(customer), computed_at=utcnow(), **told))

    return make


def traited(**value):
    def make(world, customer, staff):
        key, person_id = f"t{next(numbers)}", person_of(customer)
        trait = add(Trait(key=key, name_zh=key, name_en=key, definition={}, changed_at=utcnow()))
        if value:
            add(TraitValue(trait_id=trait.id, person_id=person_id, computed_at=utcnow(), **value))
        return {"trait_id": trait.id}

    return make


def staged(stage, days_ago=0):
    def make(world, customer, staff):
        since = utcnow() - timedelta(days=days_ago, seconds=1)
        add(Lifecycle(person_id=person_of(customer), stage=stage, since=since))

    return make


def consented(contactable, days_ago=0, channel="sms"):
    def make(world, customer, staff):
        at = utcnow() - timedelta(days=days_ago, seconds=1)
        said = {"channel": channel, "contactable": contactable, "source": "t", "at": at}
        add(PersonConsent(person_id=person_of(customer), **said))

    return make


def nobody_said_so(world, customer, staff):
    person_of(customer)


SMS, LATELY = {"channel": "sms"}, {"since": {"last_days": 2}}
TWICE = did((1, {"price": 10, "page": "a"}), (2, {"price": 5.5, "page": "b"}))
FULL = {
    "price": 19.99,
    "page": "首页",
    "member": True,
    "until": "2026-05-01T10:00:00+00:00",
    "labels": ["x", "y"],
}
ONCE = did((1, FULL))
CASES = {
    "event": [
        ("did", {}, ONCE, True),
        ("did something else", {}, did((1, {}), of_another=True), False),
        ("did nothing", {}, nothing, False),
        ("did not", many("count", "equals", 0), nothing, True),
        ("did after all", many("count", "equals", 0), ONCE, False),
        ("within 2 days", {"window": {"last_days": 2}}, ONCE, True),
        ("before", {"window": {"last_days": 1}}, ONCE, False),
        ("within hours", {"window": {"last_hours": 25}}, ONCE, True),
        ("not within 2 days", many("count", "lte", 0, window={"last_days": 2}), did((3, {})), True),
        ("a day that the window cuts", many("days", "equals", 1, window=A_DAY), did((1, {}), (0.99, {}), (0.98, {})), True),
        ("only what is cut off", many("days", "equals", 0, window=A_DAY), did((1, {})), True),
        ("both its days", many("days", "equals", 2, window={"last_days": 2}), did((2, {}), (1.98, {}), (0.5, {})), True),
        ("the last day of a window", {"window": FIFTH_DAY}, did((5, {})), True),
        ("a number is no text", {"where": [{"property": "page", "op": "equals", "value": "5"}]}, did((1, {"page": 5})), False),
        ("nor one of several", {"where": [{"property": "page", "op": "any_of", "values": ["5"]}]}, did((1, {"page": 5})), False),
        ("twice", many("count", "gte", 2), TWICE, True),
        ("once is not twice", many("count", "gte", 2), ONCE, False),
        ("exactly twice", many("count", "equals", 2), TWICE, True),
        ("at most once", many("count", "lte", 1), TWICE, False),
        ("less than three", many("count", "lt", 3), nothing, True),
        ("more than one", many("count", "gt", 1), TWICE, True),
        ("none to two", many("count", "between", 0, 2), nothing, True),
        ("one to two", many("count", "between", 1, 2), nothing, False),
        ("on two days", many("days", "gte", 2), TWICE, True),
        ("twice a day is one day", many("days", "gte", 2), did((1, {}), (1, {})), False),
        ("sum", many("sum", "equals", 15.5, property="price"), TWICE, True),
        ("sum too low", many("sum", "gt", 15.5, property="price"), TWICE, False),
        ("no sum of nothing", many("sum", "lt", 100, property="price"), nothing, False),
        ("average", many("avg", "between", 7, 8, property="price"), TWICE, True),
        ("smallest", many("min", "lt", 6, property="price"), TWICE, True),
        ("largest", many("max", "lte", 9, property="price"), TWICE, False),
        ("text is no price", many("sum", "gte", 0, property="price"), did((1, {"price": "10"})), False),
        ("filter", where(("page", "equals", "a")), TWICE, True),
        ("filter counts", many("count", "gte", 2, **where(("page", "equals", "a"))), TWICE, False),
        ("all filters of one event", where(("page", "equals", "a"), ("price", "lt", 6)), TWICE, False),
        ("exact decimals", where(("price", "equals", 19.99)), ONCE, True),
        ("contains", where(("page", "contains", "首")), ONCE, True),
        ("flag", where(("member", "equals", False)), ONCE, False),
        ("time", where(("until", "on", "2026-05-01")), ONCE, True),
        ("later", where(("until", "after", "2026-05-01")), ONCE, False),
        ("in the list", {"where": [{"property": "labels", "op": "any_of", "values": ["y", "z"]}]}, ONCE, True),
        ("not all", {"where": [{"property": "labels", "op": "all_of", "values": ["y", "z"]}]}, ONCE, False),
        ("none of the list", {"where": [{"property": "labels", "op": "none_of", "values": ["z"]}]}, ONCE, True),
        ("missing is not none of", {"where": [{"property": "page", "op": "none_of", "values": ["z"]}]}, did((1, {})), False),
        ("missing", where(("page", "is_missing")), did((1, {"page": ""})), True),
        ("there", where(("page", "is_present")), did((1, {"page": None})), False),
    ],
    "order": [
        ("ordered", {}, ordered((1, 10, {})), True),
        ("never", {}, no_order, False),
        ("no order", many("count", "equals", 0), no_order, True),
        ("twice", many("count", "gte", 2), ordered((1, 10, {}), (9, 5, {})), True),
        ("twice within 5 days", many("count", "gte", 2, window={"last_days": 5}), ordered((1, 10, {}), (9, 5, {})), False),
        ("for 15", many("sum", "gte", 15, currency="CNY"), ordered((1, 10, {}), (9, 5, {})), True),
        ("in another money", many("sum", "gte", 15, currency="USD"), ordered((1, 10, {}), (9, 5, {})), False),
        ("on average", many("avg", "equals", 7.5, currency="CNY"), ordered((1, 10, {}), (9, 5, {})), True),
        ("paid", {"time": "paid"}, ordered((1, 10, {"paid_at": utcnow()})), True),
        ("not paid", {"time": "paid"}, ordered((1, 10, {})), False),
        ("status", {"statuses": ["shipped"]}, ordered((1, 10, {"status": "shipped"})), True),
        ("another status", {"statuses": ["paid"]}, ordered((1, 10, {"status": "shipped"})), False),
        ("shop", {"shops": ["a", "b"]}, ordered((1, 10, {"shop": "b"})), True),
        ("another shop", {"shops": ["a"]}, ordered((1, 10, {"shop": "b"})), False),
        ("product", {}, ordered((1, 10, {}), product_ids=[]), True),
        ("category of the brand", {"categories": ["饮料"], "brands": ["甲"]}, ordered((1, 10, {})), True),
        ("category of another brand", {"categories": ["饮料"], "brands": ["乙"]}, ordered((1, 10, {})), False),
        ("on two days", many("days", "gte", 2), ordered((1, 10, {}), (9, 5, {})), True),
    ],
    "sequence": [
        ("in order", {"within_hours": 25}, then(("a", 3), ("b", 2)), True),
        ("too late", {"within_hours": 23}, then(("a", 3), ("b", 2)), False),
        ("the other way round", {"within_hours": 25}, then(("b", 3), ("a", 2)), False),
        ("of any first", {"within_hours": 25}, then(("a", 9), ("a", 3), ("b", 2)), True),
        ("first in the window", {"within_hours": 25, "window": {"last_days": 4}}, then(("a", 3), ("b", 2)), True),
        ("then after it", {"within_hours": 25, "window": FIFTH_DAY}, then(("a", 5), ("b", 4)), True),
        ("not then after it", {"within_hours": 25, "window": FIFTH_DAY, "happens": False}, then(("a", 5), ("b", 4)), False),
        ("first before it", {"within_hours": 25, "window": {"last_days": 2}}, then(("a", 3), ("b", 2)), False),
        ("then not", {"within_hours": 23, "happens": False}, then(("a", 3), ("b", 2)), True),
        ("not then not", {"within_hours": 25, "happens": False}, then(("a", 3), ("b", 2)), False),
        ("time is left", {"within_hours": 25, "happens": False}, then(("a", 1)), False),
        ("time is over", {"within_hours": 23, "happens": False}, then(("a", 1)), True),
        ("no first", {"within_hours": 23, "happens": False}, then(("b", 1)), False),
    ],
    "rfm": [
        ("best", {"figure": "r", "op": "equals", "value": 5}, scored(), True),
        ("not the best", {"figure": "m", "op": "gte", "value": 4}, scored(), False),
        ("days since", {"figure": "recency_days", "op": "equals", "value": 3}, scored(), True),
        ("a till whose clock runs ahead", {"figure": "recency_days", "op": "lte", "value": 0}, scored(recency_days=-1), True),
        ("not so long", {"figure": "recency_days", "op": "gt", "value": 3}, scored(), False),
        ("figure", {"figure": "monetary", "op": "between", "values": [99, 100]}, scored(), True),
        ("other", {"figure": "f", "op": "not_equals", "value": 1}, scored(), True),
        ("never bought", {"figure": "f", "op": "not_equals", "value": 1}, no_order, False),
        ("nothing known", {"figure": "f", "op": "is_missing"}, scored(), False),
    ],
    "trait": [
        ("number", {"op": "gte", "value": 3}, traited(value_num=3), True),
        ("smaller", {"op": "gte", "value": 3}, traited(value_num=2), False),
        ("none", {"op": "lt", "value": 3}, traited(), False),
        ("there", {"op": "is_present"}, traited(value_text="a"), True),
        ("text", {"op": "none_of", "values": ["b"]}, traited(value_text="a"), True),
        ("time", {"op": "last_days", "days": 2}, traited(value_time=utcnow()), True),
        ("long ago", {"op": "before", "value": "2020-01-01"}, traited(value_time=utcnow()), False),
        ("list", {"op": "all_of", "values": ["a", "b"], "list": True}, traited(value_list=["b", "a"]), True),
        ("not in the list", {"op": "any_of", "values": ["c"], "list": True}, traited(value_list=["b"]), False),
    ],
    "stage": [
        ("in it", {"stages": ["loyal", "lost"]}, staged("loyal"), True),
        ("in another", {"stages": ["lost"]}, staged("loyal"), False),
        ("entered lately", {"stages": ["loyal"], "entered": {"last_days": 2}}, staged("loyal", 1), True),
        ("entered long ago", {"stages": ["loyal"], "entered": {"last_days": 2}}, staged("loyal", 3), False),
    ],
    "consent": [
        ("agreed", {**SMS, "state": "given"}, consented(True), True),
        ("refused", {**SMS, "state": "given"}, consented(False), False),
        ("did not say", {**SMS, "state": "given"}, nobody_said_so, False),
        ("said no", {**SMS, "state": "withdrawn"}, consented(False), True),
        ("said yes", {**SMS, "state": "withdrawn"}, consented(True), False),
        ("no word is no refusal", {**SMS, "state": "withdrawn"}, nobody_said_so, False),
        ("of another channel", {**SMS, "state": "given"}, consented(True, channel="email"), False),
        ("agreed lately", {**SMS, "state": "given", **LATELY}, consented(True, 1), True),
        ("agreed long ago", {**SMS, "state": "given", **LATELY}, consented(True, 3), False),
        ("never said", {**SMS, "state": "never_asked"}, consented(True, channel="email"), True),
        ("said once", {**SMS, "state": "never_asked"}, consented(False), False),
    ],
    "sample": [("inside", {}, drawn(True), True), ("just outside", {}, drawn(False), False)],
}  # fmt: skip
STEP = {"event_type_id": 1}
WRONG = {
    "event": [({}, "event_type_id"), ({**STEP, "measure": "sum", "value": 1}, "property"),
              ({**STEP, "property": "price"}, "property"),  ({**STEP, "window": {"days": 1}}, "window.days"),
              ({**STEP, "op": "lte"}, "value"), ({**STEP, "value": 1.5}, "value"), ({**STEP, "value": -1}, "value"),
              ({**STEP, "op": "between", "values": [3, 2]}, "values"), ({**STEP, "op": "not_equals", "value": 1}, "op"),
              ({**STEP, "window": {"from": "2026-01-01"}}, "window"), ({**STEP, "where": []}, "where"),
              ({**STEP, "where": [{"property": "a", "op": "last_days", "days": 1}]}, "where.0.days"),
              ({**STEP, "where": [{"property": "a", "op": "equals"}]}, "where.0.value"),
              ({**STEP, "where": [{"property": "a;b", "op": "is_present"}]}, "where.0.property")],
    "order": [({"measure": "sum", "value": 1}, "currency"), ({"currency": "yuan"}, "currency"), ({"statuses": ["new"]}, "statuses.0"),
              ({"time": "made"}, "time"), ({"op": "equals"}, "value")],
    "sequence": [({"first": STEP, "then": STEP}, "within_hours"), ({"first": {}, "then": STEP, "within_hours": 1}, "first.event_type_id"),
                 ({"first": STEP, "then": STEP, "within_hours": 1, "happens": 1}, "happens")],
    "rfm": [({"figure": "x", "op": "equals", "value": 5}, "figure"), ({"figure": "r", "op": "contains", "value": 5}, "op"),
            ({"figure": "r", "op": "equals", "value": "5"}, "value"), ({"figure": "f", "op": "gte", "value": 6}, "value"),
            ({"figure": "m", "op": "between", "values": [0, 3]}, "values.0")],
    "trait": [({"trait_id": 1, "op": "anniversary", "days": 3}, "op"), ({"trait_id": 1, "op": "equals"}, "value"),
              ({"trait_id": 1, "op": "last_days", "days": 0}, "days"), ({"op": "equals", "value": 1}, "trait_id")],
    "stage": [({}, "stages"), ({"stages": []}, "stages"), ({"stages": ["a"], "entered": {"from": "2026-01-01"}}, "entered")],
    "consent": [({"state": "given"}, "channel"), ({**SMS, "channel": "SMS", "state": "given"}, "channel"), (SMS, "state"),
                ({**SMS, "state": "asked"}, "state"), ({**SMS, "state": "never_asked", **LATELY}, "since"),
                ({**SMS, "state": "given", "since": {"from": "2026-01-01"}}, "since"), ({**SMS, "state": ["given"]}, "state"),
                ({"channel": "smss", "state": "withdrawn"}, "channel"), ({**SMS, "state": "given", "source": "x"}, "source")],
    "sample": [({"percent": 0, "salt": "a"}, "percent"), ({"percent": 60, "offset": 41, "salt": "a"}, "percent"),
               ({"percent": "10", "salt": "a"}, "percent"), ({"percent": 5}, "salt"), ({"percent": 5, "salt": ""}, "salt")],
}  # fmt: skip
