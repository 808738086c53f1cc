"""Who gets whom by a rule or by hand, and who cannot be handed over and why."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from scrm.groups.models import GroupStay
from scrm.kernel.clock import utcnow
from scrm.kernel.errors import Conflict, InvalidInput
from scrm.kernel.permissions import Scope
from scrm.staff.models import Department, StaffDepartment
from scrm.transfers.models import ClosedReceiver, ItemState, Matter, PlanKind, TransferItem, TransferPlan
from scrm.transfers.queries.plans import plan_preview
from scrm.transfers.service.activation import activate_plan
from scrm.transfers.service.pairs import read_csv, set_pairs
from scrm.transfers.service.plans import create_plan, edit_plan
from tests.scrm.broadcasts.population import follow, make_customers, make_group, make_staff
from tests.scrm.transfers.conftest import PERSON, rule


@pytest.fixture
def people(session):
    """Ann with 60 customers, and three colleagues."""
    staff = make_staff(session, "ann", "bob", "cid", "dan")
    customers = make_customers(session, *[f"wm{number}" for number in range(60)])
    for number, customer in enumerate(customers):
        follow(session, staff[0], customer, state="expo" if number < 10 else None)
    return staff, customers


def planned(people, **fields):
    staff, _ = people
    data = {
        "kind": PlanKind.ON_JOB,
        "from_staff_id": staff[0].id,
        "matter": Matter.CUSTOMERS,
        "copy_tags": False,
        **fields,
    }
    return create_plan(data, PERSON)


def given(plan) -> dict[str, int]:
    shown = plan_preview(plan.id, Scope.all())
    return {each["userid"]: each["customers"] for each in shown["receivers"]}


def left_out(plan) -> dict[str, int]:
    shown = plan_preview(plan.id, Scope.all())["left_out"]
    return {each["reason"]: each["number"] for each in shown["reasons"]}


def frozen(session, plan) -> dict[int, int | None]:
    """{customer: receiver} after the activation."""
    activate_plan(plan.id, Scope.all())
    return {
        item.customer_id: item.to_staff_id for item in session.query(TransferItem).filter_by(plan_id=plan.id)
    }


def test_customers_are_split_evenly_and_the_same_each_time(session, people):
    staff, customers = people
    plan = planned(people, rule=rule(*staff[1:]))
    assert given(plan) == {"bob": 20, "cid": 20, "dan": 20}
    shown = plan_preview(plan.id, Scope.all())
    assert (shown["customers"], shown["calls"], shown["frozen"]) == (60, 3, False)
    found = frozen(session, plan)
    assert Counter(found.values()) == Counter({member.id: 20 for member in staff[1:]})
    assert given(plan) == {"bob": 20, "cid": 20, "dan": 20}
    by_age = [found[customer.id] for customer in customers]
    assert len(set(by_age[:20])) == 3  # nobody gets only the oldest


def test_weights_say_how_much_each_gets(people):
    staff, _ = people
    shares = [{"members": [{"staff_id": staff[1].id, "weight": 3}, {"staff_id": staff[2].id, "weight": 1}]}]
    assert given(planned(people, rule={"shares": shares})) == {"bob": 45, "cid": 15}


def test_the_first_share_whose_condition_holds_counts(people):
    staff, _ = people
    condition = {"kind": "field_equals", "field": "follow.state", "value": "expo"}
    shares = [
        {"members": [{"staff_id": staff[1].id}], "condition": condition},
        {"members": [{"staff_id": staff[2].id}, {"staff_id": staff[3].id}]},
    ]
    assert given(planned(people, rule={"shares": shares})) == {"bob": 10, "cid": 25, "dan": 25}
    only_first = planned(people, rule={"shares": shares[:1]})
    assert given(only_first) == {"bob": 10}
    assert left_out(only_first) == {"no_share": 50}


def test_the_colleague_who_follows_already_comes_first(session, people):
    staff, customers = people
    for customer in customers[:7]:
        follow(session, staff[2], customer)
    found = frozen(session, planned(people, rule=rule(*staff[1:3], existing=True)))
    assert {found[customer.id] for customer in customers[:7]} == {staff[2].id}
    assert Counter(found.values()) == Counter({staff[1].id: 27, staff[2].id: 33})  # the other 53: 27 and 26


def test_customers_of_one_group_stay_together_with_their_group(session, people):
    staff, customers = people
    groups = [make_group(session, f"wr{number}", staff[0]) for number in range(6)]
    for number, customer in enumerate(customers[:30]):
        session.add(
            GroupStay(
                group_id=groups[number % 6].id, member_id=customer.external_userid, member_type=2,
                customer_id=customer.id, joined_at=utcnow(),
            )
        )  # fmt: skip
    session.flush()
    plan = planned(people, matter=Matter.BOTH, rule=rule(*staff[1:], keep_together=True))
    activate_plan(plan.id, Scope.all())
    items = session.query(TransferItem).filter_by(plan_id=plan.id).all()
    by_customer = {item.customer_id: item.to_staff_id for item in items if item.customer_id}
    by_group = {item.group_id: item.to_staff_id for item in items if item.group_id}
    for number, customer in enumerate(customers[:30]):
        assert by_customer[customer.id] == by_group[groups[number % 6].id]
    assert max(Counter(by_customer.values()).values()) <= 26  # bundles of 5 and a group each


def test_departments_and_leaders_receive(session, people):
    staff, _ = people
    session.add_all([Department(id=1, name="root"), Department(id=2, name="sales", parent_id=1)])
    session.flush()
    for member, department, leads in [(0, 2, False), (1, 2, False), (2, 2, False), (3, 1, True)]:
        session.add(StaffDepartment(staff_id=staff[member].id, department_id=department, is_leader=leads))
    session.flush()
    assert given(planned(people, rule={"shares": [{"department_ids": [2]}]})) == {"bob": 30, "cid": 30}
    assert given(planned(people, rule={"shares": [{"manager": True}]})) == {"dan": 60}


def test_who_cannot_receive_gets_nobody(session, people):
    staff, _ = people
    staff[1].left_at = utcnow()
    staff[2].follows_customers = False
    session.add(ClosedReceiver(staff_id=staff[3].id, errcode=40099, until=utcnow() + timedelta(hours=1)))
    session.flush()
    plan = planned(people, rule=rule(*staff[1:]))
    assert left_out(plan) == {"no_receiver": 60}
    unable = plan_preview(plan.id, Scope.all())["unable_receivers"]
    assert [(each["userid"], each["reason"]) for each in unable] == [
        ("bob", "receiver_left"),
        ("cid", "receiver_without_feature"),
        ("dan", "receiver_full"),
    ]
    with pytest.raises(Conflict, match="nothing can be handed over"):
        activate_plan(plan.id, Scope.all())


def test_half_relations_open_plans_and_two_in_ninety_days_are_left_out(session, people):
    staff, customers = people
    half = make_customers(session, "wmHalf")[0]
    follow(session, staff[0], half, half_added_at=utcnow())
    ended = make_customers(session, "wmEnded")[0]
    follow(session, staff[0], ended, deleted_by_customer_at=utcnow())
    other = planned(people, rule=None, pairs=[{"customer_id": customers[0].id, "to_staff_id": staff[1].id}])
    activate_plan(other.id, Scope.all())
    session.add_all(taken(session, staff, customers[1], days) for days in (1, 89))
    session.add_all(taken(session, staff, customers[2], days) for days in (1, 91))
    moved = {"delete_source": "DELETE_BY_TRANSFER", "deleted_by_staff_at": utcnow()}
    follow(session, staff[1], customers[3], **moved)  # in the console: the events told
    follow(session, staff[2], customers[3], **moved)
    session.flush()
    plan = planned(people, rule=rule(*staff[1:]))
    assert left_out(plan) == {"half_relation": 1, "in_other_plan": 1, "too_often": 2}
    activate_plan(plan.id, Scope.all())
    items = {item.customer_id: item for item in session.query(TransferItem).filter_by(plan_id=plan.id)}
    assert (items[half.id].state, items[half.id].reason) == ("failed", "half_relation")
    assert ended.id not in items
    possible = items[customers[1].id].possible_at - utcnow()
    assert timedelta(0) < possible <= timedelta(days=1)  # when the older of the two is 90 days back
    assert items[customers[2].id].state == "planned"


def taken(session, staff, customer, days):
    """An on-job transfer so many days ago."""
    plan = TransferPlan(
        kind=PlanKind.ON_JOB, from_staff_id=staff[3].id, matter=Matter.CUSTOMERS, made_by="t", state="done"
    )
    session.add(plan)
    session.flush()
    at = utcnow() - timedelta(days=days)
    return TransferItem(
        plan_id=plan.id, from_staff_id=staff[3].id, to_staff_id=staff[0].id, customer_id=customer.id,
        state=ItemState.DONE, accepted_at=at, asked_at=at,
    )  # fmt: skip


def test_groups_go_to_those_who_get_everybody_else(session, people):
    staff, _ = people
    for number in range(5):
        make_group(session, f"wr{number}", staff[0])
    make_group(session, "wrGone", staff[0], status="dismissed")
    condition = {"kind": "field_equals", "field": "follow.state", "value": "expo"}
    shares = [
        {"members": [{"staff_id": staff[1].id}], "condition": condition},
        {"members": [{"staff_id": staff[2].id, "weight": 1}]},
    ]
    shown = plan_preview(planned(people, matter=Matter.GROUPS, rule={"shares": shares}).id, Scope.all())
    assert [(each["userid"], each["groups"]) for each in shown["receivers"]] == [("cid", 5)]
    assert (shown["customers"], shown["groups"], shown["days"]) == (0, 5, 1)


def test_a_new_rule_moves_only_what_was_not_asked(session, people):
    staff, _ = people
    plan = planned(people, rule=rule(staff[1]))
    activate_plan(plan.id, Scope.all())
    items = session.query(TransferItem).filter_by(plan_id=plan.id).order_by(TransferItem.id).all()
    for item in items[:20]:
        item.state, item.asked_at = ItemState.WAITING, utcnow()
    session.flush()
    edit_plan(plan.id, {"rule": rule(staff[2], staff[3])}, Scope.all())
    session.expire_all()
    counted = Counter((item.state.value, item.to_staff_id) for item in items)
    assert counted == {
        ("waiting", staff[1].id): 20,
        ("planned", staff[2].id): 20,
        ("planned", staff[3].id): 20,
    }
    with pytest.raises(Conflict, match="draft only"):
        edit_plan(plan.id, {"matter": Matter.BOTH}, Scope.all())


def test_by_hand_as_csv_says_what_is_wrong_with_which_line(session, people):
    staff, customers = people
    stranger = make_customers(session, "wmStranger")[0]
    group = make_group(session, "wr1", staff[0])
    plan = planned(people, matter=Matter.BOTH)
    content = (
        "external_userid,chat_id,to_userid\n"
        f"{customers[0].external_userid},,bob\n"
        f",{group.chat_id},CID\n"
        f"{customers[0].external_userid},,cid\n"
        "wmNobody,,bob\n"
        f"{stranger.external_userid},,bob\n"
        f"{customers[1].external_userid},,nobody\n"
        f"{customers[2].external_userid},,ann\n"
        ",,bob\n"
    )
    tried = set_pairs(plan, read_csv(content), Scope.all(), dry_run=True)
    assert (tried.accepted, tried.rejected) == (2, 6)
    assert [problem["line"] for problem in tried.problems] == [4, 5, 6, 7, 8, 9]
    assert left_out(plan) == {}
    assert plan_preview(plan.id, Scope.all())["customers"] == 0
    set_pairs(plan, read_csv(content), Scope.all())
    shown = plan_preview(plan.id, Scope.all())
    assert {(r["userid"], r["customers"], r["groups"]) for r in shown["receivers"]} == {
        ("bob", 1, 0),
        ("cid", 0, 1),
    }


@pytest.mark.parametrize("content", ["external_userid\nwm1\n", "name,to_userid\nx,bob\n", "\n"])
def test_a_csv_without_the_right_first_line_is_refused(content):
    with pytest.raises(InvalidInput, match="first line"):
        read_csv(content)


def test_a_condition_that_names_something_gone_stops_the_activation(session, people):
    staff, _ = people
    plan = planned(people, rule=rule(staff[1]))
    plan.rule = {
        "shares": [{**plan.rule["shares"][0], "condition": {"kind": "has_not_tag", "tag_ids": [99]}}]
    }
    session.flush()
    with pytest.raises(InvalidInput, match=r"rule\.shares\.0\.condition"):
        activate_plan(plan.id, Scope.all())


def test_a_member_who_left_cannot_hand_over_on_the_job_and_the_other_way_round(session, people):
    staff, _ = people
    with pytest.raises(InvalidInput, match="has not left"):
        planned(people, kind=PlanKind.RESIGNED, rule=rule(staff[1]))
    plan = planned(people, rule=rule(staff[1]))
    staff[0].left_at = utcnow()
    session.flush()
    with pytest.raises(InvalidInput, match="has left"):
        activate_plan(plan.id, Scope.all())
    with pytest.raises(InvalidInput, match="message"):
        planned(people, kind=PlanKind.RESIGNED, rule=rule(staff[1]), message="再见")
