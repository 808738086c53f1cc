"""Cases for the leaf about audiences; see :mod:`tests.tags.cases`."""

from scrm.audiences.models import Audience, AudienceKind, AudienceMember
from scrm.audiences.queries.in_audience import LEAF
from scrm.kernel.clock import utcnow
from tags.rules.registry import contribute_leaf
from tests.tags.conftest import add, numbers

contribute_leaf(
    LEAF
)  # as scrm.audiences does when the program starts; these tests may run without that package
VIP = {"kind": "field", "field": "customer.name", "op": "equals", "value": "vip"}


def audience(condition=None, *customers):
    """A tree, or without a condition a list of these customers."""
    kind = AudienceKind.TREE if condition else AudienceKind.STATIC
    made = add(Audience(kind=kind, name=f"人群{next(numbers)}", condition=condition, made_by="test"))
    for customer in customers:
        add(AudienceMember(audience_id=made.id, customer_id=customer.id, source="test", added_at=utcnow()))
    return made.id


def listed(*on, match="any"):
    """Lists of which the customer is, or is not, on the first, the second ..."""

    def make(world, customer, staff):
        ids = [audience(None, *([customer] if each else [])) for each in on]
        return {"audience_ids": ids, "match": match}

    return make


def called(name, *conditions, match="any"):
    """The customer's name, and audiences with these conditions."""

    def make(world, customer, staff):
        customer.name = name
        return {"audience_ids": [audience(each) for each in conditions], "match": match}

    return make


def nested(name, on_list):
    """An audience of those who are called vip and not in the audience of those on a list."""

    def make(world, customer, staff):
        customer.name = name
        inner = {
            "kind": "in_audience",
            "audience_ids": [audience(None, *([customer] if on_list else []))],
        }
        return {"audience_ids": [audience({"all": [VIP, {"not": inner}]})]}

    return make


CASES = {
    "in_audience": [
        ("on the list", {}, listed(True), True),
        ("not on the list", {}, listed(False), False),
        ("on one of two lists", {}, listed(False, True), True),
        ("on one of two lists, all", {}, listed(False, True, match="all"), False),
        ("on both, all", {}, listed(True, True, match="all"), True),
        ("on none of two, none", {}, listed(False, False, match="none"), True),
        ("on one of two, none", {}, listed(False, True, match="none"), False),
        ("the condition holds", {}, called("vip", VIP), True),
        ("it does not", {}, called("x", VIP), False),
        ("it holds, none", {}, called("vip", VIP, match="none"), False),
        ("one of two conditions, all", {}, called("vip", VIP, {"not": VIP}, match="all"), False),
        ("nested", {}, nested("vip", on_list=False), True),
        ("nested, and on the inner list", {}, nested("vip", on_list=True), False),
    ]
}

WRONG = {
    "in_audience": [
        ({}, "audience_ids"), ({"audience_ids": []}, "audience_ids"), ({"audience_ids": ["a"]}, "audience_ids.0"),
        ({"audience_ids": [10**12]}, "audience_ids.0"), ({"audience_ids": list(range(1, 22))}, "audience_ids"),
        ({"audience_ids": [1], "match": "not_all"}, "match"), ({"audience_ids": [1], "audiences": []}, "audiences"),
    ]
}  # fmt: skip
