"""Random trees over the vocabulary of :mod:`tests.tags.condition_worlds`."""

from hypothesis import strategies as st

DAYS = ["2026-02-28", "2026-03-01", "2026-03-08", "2026-03-09", "2026-03-10"]
windows = st.one_of(
    st.fixed_dictionaries({"last_days": st.integers(1, 9)}),
    st.fixed_dictionaries({"last_hours": st.sampled_from([1, 6, 24, 48, 49])}),
    st.tuples(st.sampled_from(DAYS), st.sampled_from(DAYS)).map(
        lambda pair: {"from": min(pair), "to": max(pair)}
    ),
)


def leaf(kind, required=None, **optional):
    return st.fixed_dictionaries({"kind": st.just(kind), **(required or {})}, optional=optional)


def ids(most):
    return st.lists(st.integers(1, most), min_size=1, max_size=2, unique=True)


def several(*values):
    return st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)


def comparison(**shapes):
    """op → what it takes: a tuple of values for ``value``, a strategy of further arguments otherwise."""
    return st.one_of(
        *(
            st.fixed_dictionaries({"op": st.just(op), "value": st.sampled_from(taken)})
            if isinstance(taken, tuple)
            else taken.map(lambda more, op=op: {"op": op, **more})
            for op, taken in shapes.items()
        )
    )


NOTHING = st.just({})
PRESENCE = {"is_present": NOTHING, "is_missing": NOTHING}


def values(*known):
    return st.fixed_dictionaries({"values": several(*known)})


def text(*known):
    some = values(*known)
    return comparison(
        equals=known,
        not_equals=known,
        any_of=some,
        none_of=some,
        contains=known,
        starts_with=known,
        **PRESENCE,
    )


def choice(*known):
    some = values(*known)
    return comparison(equals=known, not_equals=known, any_of=some, none_of=some, **PRESENCE)


def number(*known):
    pair = st.tuples(st.sampled_from(known), st.sampled_from(known)).map(
        lambda p: {"values": [min(p), max(p)]}
    )
    order = dict.fromkeys(("equals", "not_equals", "lt", "lte", "gt", "gte"), known)
    return comparison(**order, any_of=values(*known), none_of=values(*known), between=pair, **PRESENCE)


def many(*known):
    some = values(*known)
    return comparison(any_of=some, all_of=some, none_of=some, **PRESENCE)


def day(*known):
    pair = st.tuples(st.sampled_from(known), st.sampled_from(known)).map(
        lambda p: {"values": [min(p), max(p)]}
    )
    days = st.fixed_dictionaries({"days": st.integers(1, 12)})
    yearly = st.fixed_dictionaries(
        {"days": st.sampled_from([1, 7, 40])}, optional={"calendar": st.sampled_from(["solar", "lunar"])}
    )
    return comparison(
        on=known,
        before=known,
        after=known,
        between=pair,
        last_days=days,
        next_days=days,
        anniversary=yearly,
        **PRESENCE,
    )


FIELDS = {
    "customer.name": text("vip", "王", "客", "%"),
    "customer.gender": number(0, 1, 2, 1.5),
    "follow.remark": text("vip", "VIP 客户"),
    "follow.add_way": number(1, 16),
    "follow.remark_mobiles": st.one_of(many("138", "139"), comparison(contains=("13", "9"))),
    "follow.added_at": day(*DAYS),
    "person.company": text("甲", "乙"),
    "person.gender": choice("male", "female"),
    "person.birthday": day("1990-03-10", "1992-02-29", "2001-01-01"),
    "person.height": number(170, 175.5, 180.5),
    "person.likes": many("a", "b"),
    "person.address.city": text("上海"),
}
fields = st.sampled_from(sorted(FIELDS)).flatmap(
    lambda name: FIELDS[name].map(lambda args: {"kind": "field", "field": name, **args})
)
filters = st.lists(
    st.one_of(
        number(5, 5.5, 19.99).map(lambda args: {"property": "price", **args}),
        text("a", "首", "5").map(lambda args: {"property": "page", **args}),
        comparison(equals=(True, False), **PRESENCE).map(lambda args: {"property": "member", **args}),
        many("x", "y").map(lambda args: {"property": "labels", **args}),
    ),
    min_size=1,
    max_size=2,
)


def amounts(known):
    pair = st.tuples(known, known).map(lambda p: {"op": "between", "values": sorted(p)})
    single = st.fixed_dictionaries(
        {"op": st.sampled_from(["equals", "gte", "lte", "gt", "lt"]), "value": known}
    )
    return st.one_of(single, pair)


counts = st.tuples(st.sampled_from(["count", "days"]), amounts(st.integers(0, 3))).map(
    lambda p: {"measure": p[0], **p[1]}
)
sums = st.tuples(
    st.sampled_from(["sum", "avg", "min", "max"]), amounts(st.sampled_from([5, 10.5, 19.99, 99.5, 109.5]))
).map(lambda p: {"measure": p[0], **p[1]})
events = st.tuples(
    leaf("event", {"event_type_id": st.integers(1, 2)}, window=windows, where=filters),
    st.one_of(st.just({}), counts, sums.map(lambda each: {"property": "price", **each})),
).map(lambda pair: {**pair[0], **pair[1]})
orders = st.tuples(
    leaf(
        "order", None, window=windows, time=st.sampled_from(["placed", "paid"]), statuses=several("placed", "paid"),
        shops=several("a", "b"), product_ids=ids(2), categories=several("饮料", "食品"), brands=several("甲"),
    ),
    st.one_of(st.just({}), counts, sums.map(lambda each: {"currency": "CNY", **each})),
).map(lambda pair: {**pair[0], **pair[1]})  # fmt: skip
step = st.fixed_dictionaries({"event_type_id": st.integers(1, 2)}, optional={"where": filters})
sequences = leaf(
    "sequence",
    {"first": step, "then": step, "within_hours": st.sampled_from([1, 6, 24, 48])},
    happens=st.booleans(),
    window=windows,
)
shares = st.tuples(st.integers(1, 50), st.integers(0, 50), st.sampled_from("ab")).map(
    lambda told: {"kind": "sample", "percent": told[0], "offset": told[1], "salt": told[2]}
)
follows = st.one_of(
    leaf(
        "follow", None, state=st.sampled_from(["present", "active", "half"]), staff_ids=ids(3), department_ids=ids(3),
        channel_code_ids=ids(2), add_ways=several(1, 16), added=windows,
    ),
    leaf(
        "follow", {"state": st.sampled_from(["lost", "deleted_by_staff", "deleted_by_customer"])}, staff_ids=ids(3), added=windows,
        ended=windows,
    ),
)  # fmt: skip
matches = st.sampled_from(["any", "all", "none", "not_all"])
sources = several("person", "rule", "wecom")
tags = st.one_of(
    leaf("has_tag", {"tag_ids": ids(3)}, match=matches, sources=sources, since=windows),
    leaf("has_tag", {"tag_group_ids": ids(2)}, match=matches, sources=sources, since=windows),
)
scores = st.one_of(
    st.tuples(st.sampled_from("rfm"), number(1, 3, 5)),
    st.tuples(st.just("frequency"), number(1, 2)),
    st.tuples(st.just("monetary"), number(10, 19.99)),
    st.tuples(st.just("recency_days"), number(0, 8, 30)),
).map(lambda told: {"kind": "rfm", "figure": told[0], **told[1]})
timed = comparison(
    **dict.fromkeys(("on", "before", "after"), tuple(DAYS)),
    last_days=st.fixed_dictionaries({"days": st.integers(1, 12)}),
)
traits = st.tuples(
    st.integers(1, 4),
    st.one_of(
        number(5, 19.99), text("a", "首"), timed, many("a", "b").map(lambda args: {"list": True, **args})
    ),
).map(lambda told: {"kind": "trait", "trait_id": told[0], **told[1]})
channels = st.sampled_from(["sms", "email", "phone"])
consents = st.one_of(
    leaf("consent", {"channel": channels, "state": st.sampled_from(["given", "withdrawn"])}, since=windows),
    leaf("consent", {"channel": channels, "state": st.just("never_asked")}),
)
LEAVES = {
    "consent": consents, "rfm": scores, "trait": traits, "stage": leaf("stage", {"stages": several("lead", "loyal", "lost")}, entered=windows),
    "field": fields, "event": events, "order": orders, "sequence": sequences, "sample": shares, "follow": follows, "has_tag": tags,
    "in_audience": leaf("in_audience", {"audience_ids": ids(3)}, match=st.sampled_from(["any", "all", "none"])),
    "in_group": leaf("in_group", None, group_ids=ids(2), owner_staff_ids=ids(2), joined=windows),
    "said_keyword": leaf(
        "said_keyword", {"keywords": several("价格", "PRICE", "100%")}, match=st.sampled_from(["contains", "exact"]),
        within_days=st.integers(1, 9),
    ),
}  # fmt: skip
leaves = st.one_of(*LEAVES.values())
trees = st.recursive(
    leaves,
    lambda below: st.one_of(
        st.lists(below, min_size=1, max_size=3).map(lambda each: {"all": each}),
        st.lists(below, min_size=1, max_size=3).map(lambda each: {"any": each}),
        below.map(lambda each: {"not": each}),
    ),
    max_leaves=5,
)
