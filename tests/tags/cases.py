"""Cases for every kind of leaf: what is in the world, what is asked, whether it holds.

A case is (name, arguments, make, holds): ``make(world, customer, staff)`` writes facts about a customer and may
return arguments that depend on the rows it made.
"""

from datetime import timedelta

from scrm.acquisition.models import ChannelCode
from scrm.conversations.models import Channel, Direction, Message
from scrm.groups.models import CustomerGroup, GroupStay
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from tags.models import AssignmentState, TagAssignment
from tests.tags.conftest import numbers


def add(row):
    session().add(row)
    session().flush()
    return row


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


def field(name, value):
    return {"field": name, "value": value}


def nothing(world, customer, staff):
    pass


CASES = {
    "added_by_staff": [
        ("active", {}, followed(), True),
        ("half", {}, followed(added_at=None, half_added_at=utcnow()), True),
        ("by another", {}, followed_by_another, False),
        ("deleted by the member", {}, followed(deleted_by_staff_at=utcnow()), False),
        ("left by the customer", {}, followed(deleted_by_customer_at=utcnow()), False),
    ],
    "added_through_channel": [
        ("that code", {}, through("c1"), True),
        ("another state", {}, through("c2"), False),
        ("no state", {}, through(None), False),
        ("lost since", {}, through("c1", deleted_by_staff_at=utcnow()), False),
    ],
    "added_within_days": [
        ("yesterday, within 2", {"days": 2}, added(1), True),
        ("3 days ago, within 2", {"days": 2}, added(3), False),
        ("just before the edge", {"days": 2}, added(1.999), True),
        ("half add counts", {"days": 1}, half_added, True),
        ("lost since", {"days": 2}, added(1, deleted_by_customer_at=utcnow()), False),
        ("nobody", {"days": 2}, nothing, False),
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
    ],
    "has_not_tag": [
        ("none of two, all", {}, tagged(0, 2, "all"), True),
        ("one of two, all", {}, tagged(1, 2, "all"), False),
        ("one of two, any", {}, tagged(1, 2, "any"), True),
        ("both, any", {}, tagged(2, 2, "any"), False),
        ("removed is missing", {}, tagged(1, 1, "all", AssignmentState.REMOVED), True),
    ],
    "in_group": [
        ("that group", {}, in_group(), True),
        ("left it", {}, in_group(left=True), False),
        ("another group", {}, in_group(other=True), False),
        ("some group", {}, in_some_group(left=False), True),
        ("left every group", {}, in_some_group(left=True), False),
        ("none", {}, nothing, False),
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
    "field_equals": [
        ("name", field("customer.name", "王"), fields(name="王"), True),
        ("other name", field("customer.name", "王"), fields(name="王五"), False),
        ("empty", field("customer.name", "王"), fields(name=None), False),
        ("number", field("customer.gender", 2), fields(gender=2), True),
        ("remark", field("follow.remark", "老客户"), fields({"remark": "老客户"}), True),
        ("add way", field("follow.add_way", 1), fields({"add_way": 2}), False),
        ("one of the phones", field("follow.remark_mobiles", "139"), fields({"remark_mobiles": ["138", "139"]}), True),
        ("remark of a past relation", field("follow.remark", "x"),
         fields({"remark": "x", "deleted_by_staff_at": utcnow()}), False),
    ],
    "field_contains": [
        ("part", field("customer.corp_name", "科技"), fields(corp_name="大科技公司"), True),
        ("not", field("customer.corp_name", "科技"), fields(corp_name="食品"), False),
        ("empty", field("customer.corp_name", "科技"), fields(corp_name=None), False),
        ("percent", field("follow.remark", "%"), fields({"remark": "100"}), False),
        ("case", field("follow.remark", "vip"), fields({"remark": "VIP 客户"}), True),
        ("part of a phone", field("follow.remark_mobiles", "39"), fields({"remark_mobiles": ["138", "139"]}), True),
    ],
}  # fmt: skip

WRONG = {
    "added_by_staff": [({}, "staff_ids"), ({"staff_ids": []}, "staff_ids"), ({"staff_ids": ["a"]}, "staff_ids.0")],
    "added_through_channel": [({"channel_code_ids": [2**63]}, "channel_code_ids.0")],
    "added_within_days": [({"days": 0}, "days"), ({"days": "3"}, "days"), ({"days": 3651}, "days")],
    "has_tag": [({"tag_ids": [1], "match": "some"}, "match"), ({"tag_ids": [0]}, "tag_ids.0")],
    "has_not_tag": [({"tag_ids": [1], "tags": []}, "tags")],
    "in_group": [({"group_ids": []}, "group_ids")],
    "said_keyword": [(kw(), "keywords"), (kw(""), "keywords.0"), (kw("a\0b"), "keywords.0"), (kw("x" * 101), "keywords.0"),
                     (kw("x", within_days=-1), "within_days"), (kw("x", match="regex"), "match")],
    "field_equals": [(field("customer.password", "x"), "field"), (field("customer.gender", "2"), "value"),
                     (field("customer.gender", True), "value"), (field("customer.name", 1), "value"),
                     (field("customer.name", "a\0"), "value")],
    "field_contains": [(field("customer.gender", "2"), "field"), (field("customer.name", ""), "value")],
}  # fmt: skip
