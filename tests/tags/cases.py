"""Cases for every kind of leaf: what is in the world, what is asked, whether it holds.

A case is (name, arguments, make, holds): ``make(world, customer, staff)`` writes facts about a customer and may
return arguments that depend on the rows it made.
"""

from datetime import timedelta
from zoneinfo import ZoneInfo

from scrm.acquisition.models import ChannelCode
from scrm.acquisition_links.models import AcquisitionLink, LinkArrival
from scrm.conversations.models import Channel, Direction, Message
from scrm.group_entry.models import GroupCode
from scrm.groups.models import CustomerGroup, GroupStay
from scrm.kernel.clock import shifted, utcnow
from scrm.people.models import CustomField, PersonField
from scrm.staff.models import Department, StaffDepartment
from tags.models import AssignmentState, TagAssignment, TagSource
from tests.tags import cases_of_audiences, cases_of_people
from tests.tags.cases_of_people import person_of
from tests.tags.conftest import add, numbers

BEGAN = utcnow()


def when_put_together():
    """The clock stands where it stood when the cases were read: a run may go on into the next day."""
    return shifted(BEGAN - utcnow())


def code(state="c1"):
    return add(ChannelCode(name=state, state=state, staff_ids=[], tag_ids=[], contact_type=2))


def say(customer, text, days_ago=0.0, direction=Direction.IN):
    moment = utcnow() - timedelta(days=days_ago, seconds=1)
    return add(
        Message(
            sent_at=moment, channel=Channel.KF, message_key=f"m{next(numbers)}", direction=direction, kind="text",
            text=text, content={}, customer_id=customer.id,
        )
    )  # fmt: skip


def group(name="g"):
    return add(CustomerGroup(chat_id=f"wr{next(numbers)}", name=name))


def stay(customer, group, left=False):
    now = utcnow()
    return add(
        GroupStay(
            group_id=group.id, member_id=customer.external_userid, member_type=2, customer_id=customer.id,
            joined_at=now - timedelta(days=1), left_at=now if left else None,
        )
    )  # fmt: skip


def give(world, follow, tag, state=AssignmentState.ACTIVE):
    return add(
        TagAssignment(
            customer_id=follow.customer_id,
            follow_id=follow.id,
            tag_id=tag.id,
            state=state,
            changed_at=utcnow(),
        )
    )


def through(state, **follow):
    def make(world, customer, staff):
        made = code("c1")
        world.follow(customer, staff, state=state, **follow)
        return {"channel_code_ids": [made.id]}

    return make


def followed(**fields):
    def make(world, customer, staff):
        world.follow(customer, staff, **fields)
        return {"staff_ids": [staff.id]}

    return make


def followed_by_another(world, customer, staff):
    world.follow(customer, world.staff())
    return {"staff_ids": [staff.id]}


def added(days_ago, **fields):
    def make(world, customer, staff):
        world.follow(customer, staff, added_at=utcnow() - timedelta(days=days_ago), **fields)

    return make


def half_added(world, customer, staff):
    world.follow(customer, staff, added_at=None, half_added_at=utcnow())


def tagged(having, asked, match, state=AssignmentState.ACTIVE):
    """The customer has the first ``having`` of ``asked`` tags."""

    def make(world, customer, staff):
        tags = [world.tag() for _ in range(asked)]
        follow = world.follow(customer, staff)
        for tag in tags[:having]:
            give(world, follow, tag, state)
        return {"tag_ids": [tag.id for tag in tags], "match": match}

    return make


def tagged_over_two_relations(world, customer, staff):
    tags = [world.tag(), world.tag()]
    for tag in tags:
        give(world, world.follow(customer, world.staff()), tag)
    return {"tag_ids": [tag.id for tag in tags], "match": "all"}


def in_group(left=False, other=False):
    def make(world, customer, staff):
        first, second = group(), group()
        stay(customer, first, left)
        return {"group_ids": [(second if other else first).id]}

    return make


def in_some_group(left):
    return lambda world, customer, staff: (stay(customer, group(), left), None)[1]


def said(*texts, **fields):
    def make(world, customer, staff):
        for text in texts:
            say(customer, text, **fields)

    return make


def fields(follow=None, **customer_fields):
    def make(world, customer, staff):
        for name, value in customer_fields.items():
            setattr(customer, name, value)
        world.follow(customer, staff, **(follow or {}))

    return make


def kw(*keywords, **more):
    return {"keywords": list(keywords), **more}


def nothing(world, customer, staff):
    pass


def fixed(begin, end):
    return {"from": begin, "to": end}


def day(offset=0):
    """The day it is in the corp's zone, and so many days later."""
    return (utcnow().astimezone(ZoneInfo("Asia/Shanghai")).date() + timedelta(days=offset)).isoformat()


def known(**values):
    """The customer's person has these field values."""

    def make(world, customer, staff):
        person_id = person_of(customer)
        for key, value in values.items():
            add(PersonField(person_id=person_id, field=key, value=value, source="test", at=utcnow()))

    return make


def custom(type_="text", choices=(), **values):
    def make(world, customer, staff):
        for key in values:
            told = [{"value": choice, "zh": choice, "en": choice} for choice in choices]
            add(
                CustomField(
                    key=key, type=type_, name_zh=key, name_en=key, choices=told, survivorship="newest"
                )
            )
        return known(**{key: value for key, value in values.items() if value is not None})(
            world, customer, staff
        )

    return make


def in_department(deep, asked_below=False):
    """The member is in a department ``deep`` levels below the asked one, or above it."""

    def make(world, customer, staff):
        ids = [next(numbers) + 10_000 for _ in range(deep + 1)]
        for i, id_ in enumerate(ids):
            add(Department(id=id_, name=f"d{id_}", parent_id=ids[i - 1] if i else None))
        add(StaffDepartment(staff_id=staff.id, department_id=ids[0] if asked_below else ids[-1]))
        world.follow(customer, staff)
        return {"department_ids": [ids[-1] if asked_below else ids[0]]}

    return make


def through_link(arrives=True):
    def make(world, customer, staff):
        link = add(
            AcquisitionLink(name="l", staff_ids=[], department_ids=[], priority_staff_ids=[], tag_ids=[])
        )
        follow = world.follow(customer, staff)
        if arrives:
            add(LinkArrival(acquisition_link_id=link.id, follow_id=follow.id, at=utcnow()))
        return {"acquisition_link_ids": [link.id]}

    return make


def sourced(source, days_ago=0, group=False, **asked):
    """The customer's one tag was set by ``source``."""

    def make(world, customer, staff):
        tag = world.tag()
        assignment = give(world, world.follow(customer, staff), tag)
        since = utcnow() - timedelta(days=days_ago, seconds=1)
        add(TagSource(assignment_id=assignment.id, source=source, since=since))
        return {**({"tag_group_ids": [tag.group_id]} if group else {"tag_ids": [tag.id]}), **asked}

    return make


def joined(days_ago=0, owner=True, state=None, **asked):
    """The customer is in a group of the member, came through a code; ``asked`` names what is asked for."""

    def make(world, customer, staff):
        made = add(CustomerGroup(chat_id=f"wr{next(numbers)}", name="g", owner_staff_id=staff.id))
        code = add(GroupCode(name="c", state=f"gc{next(numbers)}", cap=100, tag_ids=[]))
        row = stay(customer, made)
        row.joined_at = utcnow() - timedelta(days=days_ago, seconds=1)
        row.state = code.state if state else None
        wanted = {"owner_staff_ids": [(staff if owner else world.staff()).id], "group_code_ids": [code.id]}
        return {key: wanted.get(key, value) for key, value in asked.items()}

    return make


def f(name, op, *value, **more):
    given = dict(zip(["value"], value, strict=False))
    return {"field": name, "op": op, **given, **more}


CASES = {
    "follow": [
        ("active", {}, followed(), True),
        ("half", {}, followed(added_at=None, half_added_at=utcnow()), True),
        ("half is not active", {"state": "active"}, followed(added_at=None, half_added_at=utcnow()), False),
        ("by another", {}, followed_by_another, False),
        ("deleted by the member", {}, followed(deleted_by_staff_at=utcnow()), False),
        ("asked for that", {"state": "deleted_by_staff"}, followed(deleted_by_staff_at=utcnow()), True),
        ("left by the customer", {}, followed(deleted_by_customer_at=utcnow()), False),
        ("whoever ended it", {"state": "lost"}, followed(deleted_by_customer_at=utcnow()), True),
        ("ended just now", {"state": "lost", "ended": {"last_hours": 1}}, followed(deleted_by_customer_at=utcnow()), True),
        ("ended long ago", {"state": "lost", "ended": {"last_days": 3}},
         followed(added_at=utcnow() - timedelta(days=9), deleted_by_customer_at=utcnow() - timedelta(days=5)), False),
        ("that code", {}, through("c1"), True),
        ("another state", {}, through("c2"), False),
        ("no state", {}, through(None), False),
        ("lost since", {}, through("c1", deleted_by_staff_at=utcnow()), False),
        ("yesterday, within 2", {"added": {"last_days": 2}}, added(1), True),
        ("3 days ago, within 2", {"added": {"last_days": 2}}, added(3), False),
        ("just before the edge", {"added": {"last_days": 2}}, added(1.999), True),
        ("half add counts", {"added": {"last_days": 1}}, half_added, True),
        ("lost since, within 2", {"added": {"last_days": 2}}, added(1, deleted_by_customer_at=utcnow()), False),
        ("between two days", {"added": fixed(day(-2), day(-1))}, added(1), True),
        ("after them", {"added": fixed(day(-4), day(-2))}, added(1), False),
        ("nobody", {"added": {"last_days": 2}}, nothing, False),
        ("nobody at all", {}, nothing, False),
        ("in the department", {}, in_department(0), True),
        ("in one two levels below", {}, in_department(2), True),
        ("in the one above", {}, in_department(1, asked_below=True), False),
        ("that way", {"add_ways": [1, 16]}, followed(add_way=16), True),
        ("another way", {"add_ways": [1]}, followed(add_way=16), False),
        ("unknown way", {"add_ways": [1]}, followed(), False),
        ("through the link", {}, through_link(), True),
        ("not through it", {}, through_link(arrives=False), False),
    ],
    "has_tag": [
        ("one of two, any", {}, tagged(1, 2, "any"), True),
        ("one of two, all", {}, tagged(1, 2, "all"), False),
        ("both, all", {}, tagged(2, 2, "all"), True),
        ("both on different relations", {}, tagged_over_two_relations, True),
        ("none", {}, tagged(0, 2, "any"), False),
        ("pending counts", {}, tagged(1, 1, "any", AssignmentState.PENDING_ADD), True),
        ("being removed does not", {}, tagged(1, 1, "any", AssignmentState.PENDING_REMOVE), False),
        ("refused does not", {}, tagged(1, 1, "any", AssignmentState.FAILED), False),
        ("removed does not", {}, tagged(1, 1, "any", AssignmentState.REMOVED), False),
        ("none of two, none", {}, tagged(0, 2, "none"), True),
        ("one of two, none", {}, tagged(1, 2, "none"), False),
        ("one of two, not all", {}, tagged(1, 2, "not_all"), True),
        ("both, not all", {}, tagged(2, 2, "not_all"), False),
        ("removed is missing", {}, tagged(1, 1, "none", AssignmentState.REMOVED), True),
        ("of the group", {}, sourced("manual:a", group=True), True),
        ("by a person", {}, sourced("manual:a", sources=["person"]), True),
        ("by a rule, asked for people", {}, sourced("rule:1", sources=["person"]), False),
        ("by WeCom or a code", {}, sourced("wecom", sources=["channel", "wecom"]), True),
        ("none that a person set", {}, sourced("rule:1", sources=["person"], match="none"), True),
        ("since yesterday", {}, sourced("wecom", days_ago=1, since={"last_days": 2}), True),
        ("since long ago", {}, sourced("wecom", days_ago=3, since={"last_days": 2}), False),
    ],
    "in_group": [
        ("that group", {}, in_group(), True),
        ("left it", {}, in_group(left=True), False),
        ("another group", {}, in_group(other=True), False),
        ("some group", {}, in_some_group(left=False), True),
        ("left every group", {}, in_some_group(left=True), False),
        ("none", {}, nothing, False),
        ("of that owner", {}, joined(owner_staff_ids=[]), True),
        ("of another owner", {}, joined(owner=False, owner_staff_ids=[]), False),
        ("through the code", {}, joined(state=True, group_code_ids=[]), True),
        ("not through it", {}, joined(group_code_ids=[]), False),
        ("joined within 2 days", {}, joined(days_ago=1, joined={"last_days": 2}), True),
        ("joined before", {}, joined(days_ago=3, joined={"last_days": 2}), False),
    ],
    "said_keyword": [
        ("contains", kw("价格"), said("请问价格多少"), True),
        ("any of several", kw("price", "价格"), said("价格"), True),
        ("ignores case", kw("VIP"), said("i am vip now"), True),
        ("not contained", kw("价格"), said("你好"), False),
        ("exact", kw("退订", match="exact"), said(" 退订\n"), True),
        ("exact, but more", kw("退订", match="exact"), said("我要退订"), False),
        ("percent is a percent", kw("100%"), said("100 元"), False),
        ("percent found", kw("100%"), said("打 100% 折"), True),
        ("underscore is an underscore", kw("a_b"), said("axb"), False),
        ("slash and backslash", kw("a/b\\c"), said("a/b\\c"), True),
        ("within days", kw("价格", within_days=2), said("价格", days_ago=1), True),
        ("too long ago", kw("价格", within_days=2), said("价格", days_ago=3), False),
        ("said by us", kw("价格"), said("价格", direction=Direction.OUT), False),
        ("said nothing", kw("价格"), nothing, False),
    ],
    "field": [
        ("name", f("customer.name", "equals", "王"), fields(name="王"), True),
        ("other name", f("customer.name", "equals", "王"), fields(name="王五"), False),
        ("empty", f("customer.name", "equals", "王"), fields(name=None), False),
        ("another one", f("customer.name", "not_equals", "王"), fields(name="李"), True),
        ("missing is no other one", f("customer.name", "not_equals", "王"), fields(name=None), False),
        ("nor an empty text", f("customer.name", "not_equals", "王"), fields(name=""), False),
        ("one of", f("customer.name", "any_of", values=["王", "李"]), fields(name="李"), True),
        ("none of", f("customer.name", "none_of", values=["王", "李"]), fields(name="周"), True),
        ("missing is not none of", f("customer.name", "none_of", values=["王"]), fields(name=None), False),
        ("there", f("customer.name", "is_present"), fields(name="王"), True),
        ("not there", f("customer.name", "is_present"), fields(name=""), False),
        ("missing", f("customer.corp_name", "is_missing"), fields({"remark": None}, corp_name="科技"), False),
        ("number", f("customer.gender", "equals", 2), fields(gender=2), True),
        ("less", f("customer.gender", "lt", 2), fields(gender=2), False),
        ("at most", f("customer.gender", "lte", 2), fields(gender=2), True),
        ("greater", f("customer.gender", "gt", 1.5), fields(gender=2), True),
        ("at least", f("customer.gender", "gte", 3), fields(gender=2), False),
        ("between", f("customer.gender", "between", values=[1, 2]), fields(gender=2), True),
        ("remark", f("follow.remark", "equals", "老客户"), fields({"remark": "老客户"}), True),
        ("one remark is another", f("follow.remark", "not_equals", "老客户"), fields({"remark": "x"}), True),
        ("start", f("follow.remark", "starts_with", "vip"), fields({"remark": "VIP客户"}), True),
        ("start, literally", f("follow.remark", "starts_with", "a_"), fields({"remark": "abc"}), False),
        ("add way", f("follow.add_way", "equals", 1), fields({"add_way": 2}), False),
        ("one of the phones", f("follow.remark_mobiles", "any_of", values=["139"]), fields({"remark_mobiles": ["138", "139"]}), True),
        ("all phones", f("follow.remark_mobiles", "all_of", values=["139", "1"]), fields({"remark_mobiles": ["138", "139"]}), False),
        ("none of the phones", f("follow.remark_mobiles", "none_of", values=["1"]), fields({"remark_mobiles": ["138"]}), True),
        ("no phones", f("follow.remark_mobiles", "none_of", values=["1"]), fields({"remark_mobiles": []}), False),
        ("remark of a past relation", f("follow.remark", "equals", "x"),
         fields({"remark": "x", "deleted_by_staff_at": utcnow()}), False),
        ("added today or yesterday", f("follow.added_at", "last_days", days=2), added(1), True),
        ("added before", f("follow.added_at", "last_days", days=1), added(1), False),
        ("added on", f("follow.added_at", "on", day(-1)), added(1), True),
        ("added after", f("follow.added_at", "after", day(-2)), added(1), True),
        ("added not before", f("follow.added_at", "before", day(-1)), added(1), False),
        ("added a year ago", f("follow.added_at", "anniversary", days=3), added(365), True),
        ("part", f("customer.corp_name", "contains", "科技"), fields(corp_name="大科技公司"), True),
        ("not a part", f("customer.corp_name", "contains", "科技"), fields(corp_name="食品"), False),
        ("part of nothing", f("customer.corp_name", "contains", "科技"), fields(corp_name=None), False),
        ("percent", f("follow.remark", "contains", "%"), fields({"remark": "100"}), False),
        ("case", f("follow.remark", "contains", "vip"), fields({"remark": "VIP 客户"}), True),
        ("part of a phone", f("follow.remark_mobiles", "contains", "39"), fields({"remark_mobiles": ["138", "139"]}), True),
        ("person's text", f("person.company", "equals", "甲"), known(company="甲"), True),
        ("another text", f("person.company", "not_equals", "甲"), known(company="甲"), False),
        ("person's text contains", f("person.company", "contains", "科"), known(company="x" * 300 + "科"), True),
        ("person's choice", f("person.gender", "any_of", values=["female"]), known(gender="female"), True),
        ("another choice", f("person.gender", "none_of", values=["female"]), known(gender="male"), True),
        ("no choice", f("person.gender", "none_of", values=["female"]), known(company="甲"), False),
        ("city", f("person.address.city", "equals", "上海"), known(address={"city": "上海"}), True),
        ("no city", f("person.address.city", "is_present"), known(address={"country": "中国"}), False),
        ("own number", f("person.height", "gte", 170.5), custom("number", height=170.5), True),
        ("own number, less", f("person.height", "between", values=[171, 180]), custom("number", height=170.5), False),
        ("several", f("person.likes", "all_of", values=["a", "b"]),
         custom("multi_choice", ["a", "b", "c"], likes=["a", "c", "b"]), True),
        ("any of several", f("person.likes", "any_of", values=["b"]), custom("multi_choice", ["a", "b"], likes=["a"]), False),
        ("none of several", f("person.likes", "none_of", values=["b"]), custom("multi_choice", ["a", "b"], likes=["a"]), True),
        ("empty list", f("person.likes", "none_of", values=["b"]), custom("multi_choice", ["a", "b"], likes=[]), False),
        ("born between", f("person.birthday", "between", values=["1990-01-01", "1990-12-31"]), known(birthday="1990-05-01"), True),
        ("born later", f("person.birthday", "before", "1990-01-01"), known(birthday="1990-05-01"), False),
        ("birthday today", f("person.birthday", "anniversary", days=1), known(birthday="2000" + day()[4:]), True),
        ("birthday in 6 days", f("person.birthday", "anniversary", days=7), known(birthday="2000" + day(6)[4:]), True),
        ("birthday in 7 days", f("person.birthday", "anniversary", days=7), known(birthday="2000" + day(7)[4:]), False),
        ("card ends in time", f("person.card_end", "next_days", days=7), custom("date", card_end=day(6)), True),
        ("card ends later", f("person.card_end", "next_days", days=7), custom("date", card_end=day(7)), False),
        ("file", f("person.contract", "is_present"), custom("file", contract=7), True),
    ],
}  # fmt: skip

# Leaves that hold for somebody nothing is known of.
HOLDS_OF_NOBODY = {"none", "not_all", "is_missing", "never_asked"}

WRONG = {
    "follow": [({"staff_ids": []}, "staff_ids"), ({"staff_ids": ["a"]}, "staff_ids.0"), ({"state": "gone"}, "state"),
               ({"channel_code_ids": [2**63]}, "channel_code_ids.0"), ({"added": {"last_days": 0}}, "added.last_days"),
               ({"added": {"from": "2026-01-01"}}, "added"), ({"added": {"from": "2026-01-02", "to": "2026-01-01"}}, "added.to"),
               ({"added": {"from": "20260101", "to": "2026-01-02"}}, "added.from"), ({"added": {}}, "added"),
               ({"ended": {"last_days": 1}}, "ended")],
    "has_tag": [({"tag_ids": [1], "match": "some"}, "match"), ({"tag_ids": [0]}, "tag_ids.0"), ({}, "tag_ids"),
                ({"tag_ids": [1], "tag_group_ids": [1]}, "tag_group_ids"), ({"tag_ids": [1], "tags": []}, "tags"),
                ({"tag_ids": [1], "sources": ["manual:a"]}, "sources.0")],
    "in_group": [({"group_ids": []}, "group_ids"), ({"joined": {"last_days": 1, "last_hours": 1}}, "joined")],
    "said_keyword": [(kw(), "keywords"), (kw(""), "keywords.0"), (kw("a\0b"), "keywords.0"), (kw("x" * 101), "keywords.0"),
                     (kw("x", within_days=-1), "within_days"), (kw("x", match="regex"), "match")],
    "field": [(f("customer.password", "equals", "x"), "field"), (f("customer.gender", "equals", "2"), "value"),
              (f("customer.gender", "equals", True), "value"), (f("customer.name", "equals", 1), "value"),
              (f("customer.name", "equals", "a\0"), "value"), (f("customer.gender", "contains", "2"), "op"),
              (f("customer.name", "contains", ""), "value"), (f("customer.name", "equals"), "value"),
              (f("customer.name", "equals", "x", days=1), "days"), (f("customer.name", "any_of", values=["a", 1]), "values.1"),
              (f("customer.name", "like", "x"), "op"), (f("customer.gender", "between", values=[2, 1]), "values"),
              (f("customer.gender", "between", values=[1]), "values"), (f("follow.added_at", "on", "2026-02-30"), "value"),
              (f("follow.added_at", "anniversary", days=367), "days"), (f("follow.added_at", "last_days", days=0), "days"),
              (f("person.nickname", "equals", "x"), "field"), (f("person.gender", "equals", "f"), "value"),
              (f("person.birthday", "contains", "19"), "op"), (f("person.company.city", "equals", "x"), "field"),
              (f("person.name", "gt", 3), "op"), (f("person.gender", "any_of", values=["female", "f"]), "values.1")],
}  # fmt: skip

CASES |= cases_of_people.CASES | cases_of_audiences.CASES
WRONG |= cases_of_people.WRONG | cases_of_audiences.WRONG
