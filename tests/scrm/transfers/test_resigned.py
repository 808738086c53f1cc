"""A member who left: customers are found, planned, handed over, offered to others, and never fall through."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from sqlalchemy import select

from scrm.alerts.models import AlertEntry as AlertRow
from scrm.customers.jobs import refresh_customers
from scrm.customers.service.details import CustomerSeen, apply_details
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import session, transaction
from scrm.kernel.permissions import Scope
from scrm.kernel.settings import EXTENSION
from scrm.staff.models import Department, StaffDepartment
from scrm.staff.service.members import MemberEvent, record_member_events
from scrm.transfers import jobs
from scrm.transfers.models import Matter, PlanKind, TransferPlan
from scrm.transfers.queries.unassigned import left_members
from scrm.transfers.service.activation import activate_plan
from scrm.transfers.service.alerting import step_of
from scrm.transfers.service.defaults import set_default
from scrm.transfers.service.unassigned import collect_own
from tests.scrm.transfers.conftest import DAY, PERSON, RESIGNED, rule


def plans() -> list[TransferPlan]:
    statement = select(TransferPlan).order_by(TransferPlan.id)
    return list(session().scalars(statement.execution_options(populate_existing=True)))


def alerts() -> list[str]:
    return list(session().scalars(select(AlertRow.key).order_by(AlertRow.id)))


def test_everybody_of_a_member_who_left_finds_a_new_one(corp):
    here = corp(members=3, customers=5)
    here.leave(here.staff[0])
    plan = here.started(PlanKind.RESIGNED)
    here.work()
    assert "transfer_success_msg" not in here.asked(RESIGNED)[0]
    assert here.states(plan) == Counter(waiting=5)
    here.later(DAY + 120)
    assert (here.state(plan), here.states(plan)) == ("done", Counter(done=5))
    assert {row.resolution for row in here.unassigned()} == {"transferred"}
    assert left_members() == []
    assert set(here.named(RESIGNED).values()) == {1}


def test_who_refuses_is_offered_to_others_and_then_a_person_decides(corp):
    here = corp(members=4, customers=2)
    here.leave(here.staff[0])
    plan = here.started(PlanKind.RESIGNED)
    asked = Counter()
    for _ in range(3):
        here.work()
        asked.update(item.to_staff_id for item in here.items(plan))
        here.control.refuse_transfers()
        here.wait(6 * 3600 + 60)
    here.work()
    assert asked == Counter(
        {member.id: 2 for member in here.others()}
    )  # each of the two: every colleague once
    assert (here.state(plan), here.states(plan)) == ("done", Counter(back=2))
    assert set(here.named(RESIGNED).values()) == {3}
    assert [key for key in alerts() if key.startswith(f"transfer_back:{plan.id}:")]
    assert left_members()[0]["customers_back"] == 2


def test_a_receiver_who_is_full_when_the_day_is_over_is_made_up_for(corp):
    here = corp(members=3, customers=4)
    here.control.staff_behaviour([here.staff[1].userid], contact_limit=1)
    here.leave(here.staff[0])
    plan = here.started(PlanKind.RESIGNED)
    here.work()
    for _ in range(3):
        here.later(DAY + 120)
    assert (here.state(plan), here.states(plan)) == ("done", Counter(done=4))
    assert Counter(item.to_staff_id for item in here.items(plan))[here.staff[1].id] == 1


def test_leaving_makes_a_draft_by_the_nearest_rule_and_tells_leader_and_operators(corp):
    here = corp(members=3, customers=3)
    ann, lead, boss = here.staff
    session().add_all([Department(id=1, name="root"), Department(id=2, name="sales", parent_id=1)])
    session().flush()
    for member, department, leads in [(ann, 2, False), (lead, 2, True), (boss, 1, True)]:
        session().add(StaffDepartment(staff_id=member.id, department_id=department, is_leader=leads))
    ann.main_department_id = 2
    session().commit()
    here.leave(ann)
    jobs.collect_unassigned()
    (plan,) = plans()
    assert (plan.automatic, plan.state, plan.rule["shares"], plan.kind) == (
        True, "draft", [{"manager": True}], "resigned",
    )  # fmt: skip
    (row,) = left_members()
    assert (row["customers"], row["customers_unplanned"], row["draft_plan_id"]) == (3, 3, plan.id)
    session().refresh(ann)
    assert alerts() == [f"transfer_waiting:{ann.id}:{ann.left_at:%Y%m%d%H%M%S}:0"]
    jobs.collect_unassigned()  # again: nothing twice
    assert len(plans()) == len(alerts()) == 1
    with shifted(timedelta(days=3, hours=1)), transaction():
        from scrm.transfers.service.alerting import tell_waiting

        assert tell_waiting() == 1
    assert len(alerts()) == 2
    with transaction():
        activate_plan(plan.id, Scope.all())
    assert [item.to_staff_id for item in here.items(plan)] == [lead.id] * 3
    with shifted(timedelta(days=7, hours=1)), transaction():
        assert tell_waiting() == 0  # every one is planned


def test_a_departments_default_may_start_by_itself(corp):
    here = corp(members=3, customers=4, groups=1)
    session().add_all([Department(id=1, name="root"), Department(id=2, name="sales", parent_id=1)])
    here.staff[0].main_department_id = 2
    session().commit()
    with transaction():
        data = {"rule": rule(*here.others()), "matter": Matter.BOTH, "activate": True, "copy_tags": False}
        set_default(1, data, PERSON)
    here.leave(here.staff[0])
    jobs.collect_unassigned()
    (plan,) = plans()
    assert plan.state == "active"
    here.work()
    here.later(DAY + 120)
    assert (here.state(plan), here.states(plan)) == ("done", Counter(done=5))


def test_an_automatic_start_that_cannot_work_stays_a_draft_that_says_why(corp, app):
    here = corp(members=1, customers=2)
    conf = app.extensions[EXTENSION]
    transfers = conf.transfers.model_copy(update={"activate_defaults": True})
    app.extensions[EXTENSION] = conf.model_copy(update={"transfers": transfers})
    try:
        here.leave(here.staff[0])
        jobs.collect_unassigned()
    finally:
        app.extensions[EXTENSION] = conf
    (plan,) = plans()
    assert plan.state == "draft"
    assert "nothing can be handed over" in plan.error
    assert left_members()[0]["customers_unplanned"] == 2


def test_wecoms_list_tells_of_those_our_own_relations_do_not_know(corp):
    here = corp(members=2)
    people = [person["external_userid"] for person in here.control.add(here.staff[0].userid, count=3)]
    here.control.delete_staff(here.staff[0].userid)  # and no event came
    jobs.collect_unassigned()
    rows = here.unassigned()
    assert len(rows) == len(people)
    assert all(row.listed_at is not None for row in rows)
    session().refresh(here.staff[0])
    assert here.staff[0].left_at is not None


def test_nobody_falls_through_when_wecom_no_longer_shows_the_relation(corp):
    here = corp(members=2, customers=2)
    here.leave(here.staff[0])
    with shifted(timedelta(minutes=2)), transaction():
        gone = [CustomerSeen(c.external_userid, {}, (), complete=True, settled=True) for c in here.customers]
        apply_details(gone, utcnow())
    assert {f.status for c in here.customers for f in here.follows(c).values()} == {"deleted_by_staff"}
    with transaction():
        assert collect_own() == 2


def test_whom_wecom_lists_no_more_has_somebody(corp):
    here = corp(members=2, customers=2)
    here.leave(here.staff[0])
    jobs.collect_unassigned()
    body = {
        "handover_userid": here.staff[0].userid, "takeover_userid": here.staff[1].userid,
        "external_userid": [here.customers[0].external_userid],
    }  # fmt: skip
    from scrm.wecom.client import wecom

    wecom().post(RESIGNED, body)  # in the console
    here.control.finish_transfers()
    jobs.collect_unassigned()  # no longer listed, but nobody is known to follow the customer: WeCom is asked
    assert [row.resolution for row in here.unassigned()] == [None, None]
    refresh_customers()
    jobs.collect_unassigned()
    assert [row.resolution for row in here.unassigned()] == ["not_listed", None]


def test_a_list_that_cannot_be_read_to_its_end_takes_nobody_off(corp):
    here = corp(members=2, customers=2)
    here.leave(here.staff[0])
    jobs.collect_unassigned()
    here.control.finish_transfers()
    here.control.fault("errcode", api="externalcontact/get_unassigned_list", errcode=48002)
    jobs.collect_unassigned()
    assert [row.resolved_at for row in here.unassigned()] == [None, None]


def test_a_member_who_comes_back_keeps_customers_and_plans_stop(corp):
    here = corp(members=2, customers=2)
    ann = here.staff[0]
    here.leave(ann)
    jobs.collect_unassigned()
    (draft,) = plans()
    with transaction():
        event = MemberEvent(ann.userid, utcnow() + timedelta(seconds=5), status=1)
        record_member_events([event])
    assert here.state(draft) == "cancelled"
    assert {row.resolution for row in here.unassigned()} == {"returned"}
    with transaction():
        record_member_events([MemberEvent(ann.userid, utcnow() + timedelta(seconds=9), gone=True)])
    with shifted(timedelta(seconds=10)), transaction():
        assert collect_own([ann.id]) == 2  # open again


def test_groups_of_an_owner_who_left_are_inherited(corp):
    here = corp(members=2, groups=3)
    here.leave(here.staff[0])
    plan = here.started(PlanKind.RESIGNED, matter=Matter.GROUPS)
    here.work()
    assert (here.state(plan), here.states(plan)) == ("done", Counter(done=3))
    session().expire_all()
    assert {group.owner_staff_id for group in here.groups} == {here.staff[1].id}


def test_groups_that_take_their_time_are_waited_for(corp):
    here = corp(members=2, groups=2)
    here.control.set_limits(group_transfer_seconds=1800)
    here.leave(here.staff[0])
    plan = here.started(PlanKind.RESIGNED, matter=Matter.GROUPS)
    try:
        here.work()
        assert here.states(plan) == Counter(waiting=2)
        here.later(2400)
        here.later(2400)
    finally:
        here.control.set_limits(group_transfer_seconds=0)
    assert (here.state(plan), here.states(plan)) == ("done", Counter(done=2))
    assert set(here.named("externalcontact/groupchat/transfer").values()) == {1}


def test_alerts_come_at_their_ages_and_then_every_week():
    steps = [step_of(age, (0, 1, 3, 7)) for age in (0, 1, 2, 3, 6, 7, 8, 13, 14, 20, 21)]
    assert steps == [0, 1, 1, 3, 3, 7, 7, 7, 14, 14, 21]
    assert step_of(0, (1, 3)) is None


def test_a_member_who_leaves_in_the_middle_of_handing_over_goes_the_resigned_way(corp):
    here = corp(members=3, customers=4)
    ann = here.staff[0]
    plan = here.started(
        pairs=[{"customer_id": c.id, "to_staff_id": here.staff[1].id} for c in here.customers[:3]], rule=None
    )
    here.work()
    extra = here.started(
        pairs=[{"customer_id": here.customers[3].id, "to_staff_id": here.staff[2].id}], rule=None
    )
    here.control.delete_staff(ann.userid)
    with transaction():
        record_member_events([MemberEvent(ann.userid, utcnow(), gone=True)])
    assert (here.state(plan), here.states(plan)) == ("cancelled", Counter(waiting=3))
    assert (here.state(extra), [item.reason for item in here.items(extra)]) == ("cancelled", ["member_left"])
    jobs.collect_unassigned()
    (row,) = left_members()
    assert (row["customers"], row["customers_unplanned"], row["customers_waiting"]) == (4, 1, 3)
    for _ in range(2):
        here.later(8 * DAY)
    assert here.states(plan)["waiting"] == 0  # whatever WeCom says, nobody waits for ever
