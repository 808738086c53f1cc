"""What conditions mean, said a second time: slow, simple, over plain values, without SQL and without the compiler."""

import hashlib
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from tyme4py.solar import SolarDay

from tests.tags.condition_worlds import AUDIENCES, DEPARTMENT_OF, NOW, OWNER_OF, PRODUCTS, TAGS_OF_GROUP

ZONE = ZoneInfo("Asia/Shanghai")
NOBODY = {
    "fields": {},
    "events": [],
    "orders": [],
    "score": None,
    "stage": None,
    "traits": {},
    "consents": {},
}
LONG_AGO = datetime(1, 1, 1, tzinfo=ZONE)
WRITTEN_BY = {"person": "manual:", "rule": "rule:", "wecom": "wecom"}


def holds(tree, world, i):
    """Whether a tree holds for customer ``i`` (from 1) of a world."""
    if "all" in tree:
        return all(holds(each, world, i) for each in tree["all"])
    if "any" in tree:
        return any(holds(each, world, i) for each in tree["any"])
    if "not" in tree:
        return not holds(tree["not"], world, i)
    customer = world["customers"][i - 1]
    number = customer["person"]
    person = world["people"][number - 1] if number else NOBODY
    if tree["kind"] == "in_audience":
        return in_audience(tree, world, i)
    return LEAVES[tree["kind"]](tree, customer, {**person, "id": number})


def in_audience(leaf, world, i):
    on_lists = world["customers"][i - 1]["lists"]
    belongs = [
        id_ in on_lists if AUDIENCES[id_] is None else holds(AUDIENCES[id_], world, i)
        for id_ in leaf["audience_ids"]
    ]
    return {"any": any(belongs), "all": all(belongs), "none": not any(belongs)}[leaf.get("match", "any")]


def local(moment):
    return moment.astimezone(ZONE).date()


def inside(moment, window):
    if window is None:
        return True
    if moment is None:
        return False
    if "from" in window:
        return date.fromisoformat(window["from"]) <= local(moment) <= date.fromisoformat(window["to"])
    return moment > NOW - timedelta(days=window.get("last_days", 0), hours=window.get("last_hours", 0))


def status(follow):
    added, half = follow["added_at"] or LONG_AGO, follow["half_added_at"] or LONG_AGO
    by_staff, by_customer = follow["deleted_by_staff_at"], follow["deleted_by_customer_at"]
    if by_staff and by_staff >= max(added, half):
        return "deleted_by_staff"
    if by_customer and by_customer >= max(added, half):
        return "deleted_by_customer"
    if follow["half_added_at"] and half > added:
        return "half"
    return "active" if follow["added_at"] else "unknown"


STATES = {
    "present": {"active", "half"}, "active": {"active"}, "half": {"half"}, "lost": {"deleted_by_staff", "deleted_by_customer"},
    "deleted_by_staff": {"deleted_by_staff"}, "deleted_by_customer": {"deleted_by_customer"},
}  # fmt: skip


def follow(leaf, customer, person):
    def fits(each):
        stands = status(each)
        ended = (
            each["deleted_by_staff_at"] if stands == "deleted_by_staff" else each["deleted_by_customer_at"]
        )
        return (
            stands in STATES[leaf.get("state", "present")]
            and each["staff"] in leaf.get("staff_ids", [each["staff"]])
            and bool(DEPARTMENT_OF[each["staff"]] & set(leaf.get("department_ids", [1])))
            and (
                "channel_code_ids" not in leaf
                or each["state"] in [f"c{id_}" for id_ in leaf["channel_code_ids"]]
            )
            and ("add_ways" not in leaf or each["add_way"] in leaf["add_ways"])
            and inside(each["added_at"] or each["half_added_at"], leaf.get("added"))
            and inside(ended, leaf.get("ended"))
        )

    return any(fits(each) for each in customer["follows"])


def has_tag(leaf, customer, person):
    def counts(each):
        sources = [
            source for source, since in each["sources"].items()
            if ("sources" not in leaf or any(source.startswith(WRITTEN_BY[who]) for who in leaf["sources"]))
            and inside(since, leaf.get("since"))
        ]  # fmt: skip
        asked = "sources" in leaf or "since" in leaf
        return each["state"] in ("active", "pending_add") and (bool(sources) or not asked)

    held = {each["tag"] for one in customer["follows"] for each in one["assignments"] if counts(each)}
    wanted = [{id_} for id_ in leaf.get("tag_ids", [])] + [
        TAGS_OF_GROUP[id_] for id_ in leaf.get("tag_group_ids", [])
    ]
    there = [bool(each & held) for each in wanted]
    return {"any": any(there), "all": all(there), "none": not any(there), "not_all": not all(there)}[
        leaf.get("match", "any")
    ]


def in_group(leaf, customer, person):
    return any(
        not stay["left"]
        and stay["group"] in leaf.get("group_ids", [stay["group"]])
        and OWNER_OF[stay["group"]] in leaf.get("owner_staff_ids", [1, 2])
        and inside(stay["joined_at"], leaf.get("joined"))
        for stay in customer["stays"]
    )


def said_keyword(leaf, customer, person):
    def says(text):
        if leaf.get("match") == "exact":
            return text.lower() in [word.lower() for word in leaf["keywords"]]
        return any(word.lower() in text.lower() for word in leaf["keywords"])

    days = leaf.get("within_days")
    return any(
        each["said"] and says(each["text"]) and (days is None or each["sent_at"] > NOW - timedelta(days=days))
        for each in customer["messages"]
    )


def field(leaf, customer, person):
    if leaf["op"] == "is_missing":
        return not field({**leaf, "op": "is_present"}, customer, person)
    owner, _, key = leaf["field"].partition(".")
    if owner == "customer":
        return compare(customer[key], leaf)
    if owner == "follow":
        return any(
            status(each) in STATES["present"] and compare(each[key], leaf) for each in customer["follows"]
        )
    key, _, part = key.partition(".")
    value = person["fields"].get(key)
    return compare((value or {}).get(part) if part else value, leaf)


def compare(value, args):
    """One comparison; a missing value is only ever missing."""
    op, missing = args["op"], value in (None, "", [], {})
    if op in ("is_present", "is_missing"):
        return missing == (op == "is_missing")
    if missing:
        return False
    if op in ("on", "before", "after", "last_days", "next_days", "anniversary") or (
        op == "between" and isinstance(args["values"][0], str)
    ):
        return compare_day(local(value) if isinstance(value, datetime) else date.fromisoformat(value), args)
    wanted = [args["value"]] if "value" in args else args["values"]
    if isinstance(value, list):
        if op == "contains":
            return wanted[0].lower() in "\n".join(value).lower()
        found = [each in value for each in wanted]
        return {"any_of": any(found), "all_of": all(found), "none_of": not any(found)}[op]
    if type_of(value) != type_of(wanted[0]):
        return False
    if type_of(value) == "number":  # the figures of a measure are exact already
        value, wanted = Decimal(str(value)), [Decimal(str(each)) for each in wanted]
    return {
        "equals": lambda: value == wanted[0], "not_equals": lambda: value != wanted[0],
        "any_of": lambda: value in wanted, "none_of": lambda: value not in wanted,
        "contains": lambda: wanted[0].lower() in value.lower(), "starts_with": lambda: value.lower().startswith(wanted[0].lower()),
        "lt": lambda: value < wanted[0], "lte": lambda: value <= wanted[0], "gt": lambda: value > wanted[0],
        "gte": lambda: value >= wanted[0], "between": lambda: wanted[0] <= value <= wanted[1],
    }[op]()  # fmt: skip


def type_of(value):
    return "flag" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def compare_day(day, args):
    now, op = local(NOW), args["op"]
    coming = [now + timedelta(days=i) for i in range(args.get("days", 0))]
    if op == "anniversary":
        comes = lunar_birthday if args.get("calendar") == "lunar" else solar_birthday
        return day < now and any(comes(day, each) for each in coming)
    return {
        "on": lambda: day.isoformat() == args["value"], "before": lambda: day.isoformat() < args["value"],
        "after": lambda: day.isoformat() > args["value"],
        "between": lambda: args["values"][0] <= day.isoformat() <= args["values"][1],
        "last_days": lambda: now - timedelta(days=args["days"]) < day <= now, "next_days": lambda: day in coming,
    }[op]()  # fmt: skip


def solar_birthday(born, day):
    if (born.month, born.day) == (2, 29) and (day.month, day.day) == (2, 28):
        return (day + timedelta(days=1)).month == 3
    return (born.month, born.day) == (day.month, day.day)


def lunar_birthday(born, day):
    first, then = (SolarDay.from_ymd(each.year, each.month, each.day).get_lunar_day() for each in (born, day))
    month = then.get_lunar_month()
    last = month.get_day_count() == 29 == then.get_day() and first.get_day() == 30
    same = first.get_day() == then.get_day() or last
    return same and not month.is_leap() and first.get_lunar_month().get_month() == month.get_month()


def measured(leaf, figures, moments):
    """Compare the measure of rows, given as their figures and their times."""
    measure, told = leaf.get("measure", "count"), {"op": "gte", **leaf}
    told.setdefault("value", 1) if "values" not in told else None
    if measure == "count":
        return compare(len(moments), told)
    if measure == "days":
        return compare(len({local(each) for each in moments}), told)
    numbers = [Decimal(str(each)) for each in figures if type_of(each) == "number" and each is not None]
    if not numbers:
        return False
    work = {"sum": sum, "avg": lambda n: sum(n) / len(n), "min": min, "max": max}[measure]
    return compare(work(numbers), exactly(told))


def exactly(told):
    """With numbers as they are written: 19.99 and not the 19.989999… that stands for it."""
    whole = {key: Decimal(str(told[key])) for key in ("value",) if key in told}
    return {
        **told,
        **whole,
        **({"values": [Decimal(str(each)) for each in told["values"]]} if "values" in told else {}),
    }


def passes(properties, filters):
    return all(compare(properties.get(each["property"]), each) for each in filters or ())


def event(leaf, customer, person):
    found = [
        each for each in person["events"]
        if each["type_id"] == leaf["event_type_id"] and inside(each["at"], leaf.get("window"))
        and passes(each["properties"], leaf.get("where"))
    ]  # fmt: skip
    return measured(
        leaf, [each["properties"].get(leaf.get("property")) for each in found], [each["at"] for each in found]
    )


def order(leaf, customer, person):
    moment = f"{leaf.get('time', 'placed')}_at"

    def fits(each):
        category, brand = PRODUCTS.get(each["product"], (None, None))
        return (
            each[moment] is not None and inside(each[moment], leaf.get("window"))
            and each["status"] in leaf.get("statuses", [each["status"]]) and each["currency"] == leaf.get("currency", each["currency"])
            and each["shop"] in leaf.get("shops", [each["shop"]]) and each["product"] in leaf.get("product_ids", [each["product"]])
            and category in leaf.get("categories", [category]) and brand in leaf.get("brands", [brand])
        )  # fmt: skip

    found = [each for each in person["orders"] if fits(each)]
    return measured(leaf, [each["amount"] for each in found], [each[moment] for each in found])


def sequence(leaf, customer, person):
    def steps(name):
        step = leaf[name]
        return [
            each["at"]
            for each in person["events"]
            if each["type_id"] == step["event_type_id"] and passes(each["properties"], step.get("where"))
        ]

    span = timedelta(hours=leaf["within_hours"])
    for first in steps("first"):
        followed = any(first < then <= first + span for then in steps("then"))
        over = leaf.get("happens", True) or first + span <= NOW
        if inside(first, leaf.get("window")) and over and followed == leaf.get("happens", True):
            return True
    return False


def sample(leaf, customer, person):
    if person["id"] is None:
        return False
    digest = hashlib.md5(f"{leaf['salt']}:{person['id']}".encode()).hexdigest()  # noqa: S324
    first = round(leaf.get("offset", 0) * 100)
    return first <= int(digest[:8], 16) % 10_000 < first + round(leaf["percent"] * 100)


def rfm(leaf, customer, person):
    if person["score"] is None:
        return leaf["op"] == "is_missing"
    known = {**person["score"], "recency_days": max(0, (local(NOW) - person["score"]["last_on"]).days)}
    return compare(known[leaf["figure"]], leaf)


def stage(leaf, customer, person):
    told = person["stage"]
    return told is not None and told["stage"] in leaf["stages"] and inside(told["since"], leaf.get("entered"))


def consent(leaf, customer, person):
    told = person["consents"].get(leaf["channel"])
    if told is None or leaf["state"] == "never_asked":
        return told is None and leaf["state"] == "never_asked"
    word = "given" if told["contactable"] else "withdrawn"
    return word == leaf["state"] and inside(told["at"], leaf.get("since"))


def trait(leaf, customer, person):
    value, dated = (
        person["traits"].get(leaf["trait_id"]),
        leaf["op"] in ("on", "before", "after", "last_days"),
    )
    if leaf["op"] in ("is_present", "is_missing"):
        return (value is None) == (leaf["op"] == "is_missing")
    if isinstance(value, list) != leaf.get("list", False) or isinstance(value, datetime) != dated:
        return False
    return compare(value, leaf)


LEAVES = {
    "rfm": rfm, "stage": stage, "trait": trait, "consent": consent,
    "follow": follow, "has_tag": has_tag, "in_group": in_group, "said_keyword": said_keyword, "field": field, "event": event,
    "order": order, "sequence": sequence, "sample": sample,
}  # fmt: skip
