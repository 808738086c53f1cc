"""Who serves a code follows slots, dates, caps and members, and WeCom hears of real changes only."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text, update

from scrm.acquisition.jobs import check_all_codes, keep_codes_current, notice_staff_changes
from scrm.acquisition.models import ChannelCode, ChannelDuty, CodeState
from scrm.acquisition.queries.due import checks_due, staff_changed
from scrm.alerts.models import AlertEntry
from scrm.kernel import clock
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.kernel.events import publish
from scrm.staff.events import StaffLeft
from scrm.staff.models import Department, Staff, StaffDepartment
from scrm.staff.service import ensure_staff, set_follow_users
from scrm.wecom.jobs import carry_out_background, carry_out_events, carry_out_urgent
from scrm.wecom.models import Effect, EffectState

EVERY_DAY = list(range(1, 8))
URL = "/api/v1/channel-codes"


def carry_out():
    for job in (keep_codes_current, carry_out_urgent, carry_out_events, carry_out_background):
        job()


@pytest.fixture
def staff(sandbox, session, noon):
    """Ids of four members the sandbox knows, in the order of their userids."""
    sandbox.population(members=4, kf_accounts=0)
    with transaction():
        return list(ensure_staff(sorted(sandbox.state_ids("member"))).values())


@pytest.fixture
def code(api, staff):
    """Makes a code that WeCom has accepted."""

    def make(**values):
        answer = api.post(URL, json={"name": "展会", "staff_ids": staff[:1], **values})
        assert answer.status_code == 201, answer.json
        carry_out()
        return api.get(f"{URL}/{answer.json['id']}").json

    return make


@pytest.fixture
def serving(sandbox, session):
    """Ids of the members whom WeCom shows to people who scan."""

    def read(made):
        users = sandbox.state("contact_way", made["config_id"])["settings"]["user"]
        return sorted(ensure_staff(users).values())

    return read


def updates(sandbox):
    return len(sandbox.log("externalcontact/update_contact_way", everything=True))


def slot(begin, end, *staff_ids, weekdays=EVERY_DAY):
    return {"weekdays": weekdays, "begin": begin, "end": end, "staff_ids": list(staff_ids)}


def test_slots_and_dates_take_turns_over_midnight(code, staff, serving, noon, sandbox, app, redis):
    a, b, c, d = staff
    tomorrow = str((noon + timedelta(days=1)).date())
    made = code(
        slots=[slot("09:00", "18:00", b), slot("22:00", "06:00", c)],
        dates=[{"first": tomorrow, "last": tomorrow, "begin": "23:00", "end": "01:00", "staff_ids": [d]}],
    )
    seen = []
    for hours in (0, 5, 6, 9, 10, 17, 18, 20, 21, 33, 34, 35, 36, 37, 42):
        app.extensions.pop("scrm_wecom", None)
        redis.flushdb()  # hours pass here in no time: WeCom's limit on new tokens shall not count
        with clock.shifted(timedelta(hours=hours)):
            carry_out()
            seen.append((hours, serving(made)))
    who = {
        0: b,
        5: b,
        6: a,
        9: a,
        10: c,
        17: c,
        18: a,
        20: a,
        21: b,
        33: a,
        34: c,
        35: d,
        36: d,
        37: c,
        42: a,
    }
    assert seen == [(hours, [who[hours]]) for hours in who]
    assert updates(sandbox) == 9


def test_the_day_of_a_cap_ends_at_midnight_of_the_corps_zone(
    api, code, door, staff, serving, noon, sandbox, session
):
    a, b = staff[:2]
    made = code(daily_cap=2, backup_staff_ids=[b])
    for expected in (a, b):
        assert not checks_due()
        door.scans(made["config_id"])
        carry_out()
        assert serving(made) == [expected]
    shown = api.get(f"{URL}/{made['id']}").json
    assert (shown["on_duty"], shown["duty_reason"], shown["adds"]) == ([b], "backup", 2)
    with clock.shifted(timedelta(hours=11, minutes=59)):
        carry_out()
        assert serving(made) == [b]
    with clock.shifted(timedelta(hours=12)):
        assert checks_due()
        carry_out()
        assert serving(made) == [a]
    assert updates(sandbox) == 2


def test_a_member_who_leaves_falls_out_and_the_backup_serves_when_nobody_is_left(
    code, staff, serving, session
):
    a, b, c, _ = staff
    made = code(staff_ids=[a, b], backup_staff_ids=[c])
    for gone, left in ((a, [b]), (b, [c])):
        with transaction():
            session.execute(update(Staff).where(Staff.id == gone).values(left_at=utcnow(), status=5))
            publish(StaffLeft((gone,)))
        carry_out()
        assert serving(made) == left


def test_with_nobody_at_all_the_last_list_stays_and_the_operators_are_told_once(
    code, staff, serving, session, sandbox
):
    made = code()
    with transaction():
        session.execute(update(Staff).where(Staff.id == staff[0]).values(left_at=utcnow(), status=5))
        publish(StaffLeft((staff[0],)))
    for _ in range(2):
        carry_out()
        check_all_codes()
        carry_out()
    assert serving(made) == [staff[0]]
    assert updates(sandbox) == 0
    kinds = session.scalars(select(AlertEntry.kind)).all()
    assert kinds == ["channel_code_unserved"]


@pytest.mark.parametrize("lost", [{"status": 2}, {"feature_lost_at": utcnow()}])
def test_who_is_disabled_or_lost_the_feature_falls_out_without_an_event(code, staff, serving, session, lost):
    made = code(staff_ids=staff[:2])
    assert not staff_changed()
    with transaction():
        later = utcnow() + timedelta(minutes=1)
        session.execute(update(Staff).where(Staff.id == staff[0]).values(updated_at=later, **lost))
    assert staff_changed()
    with clock.shifted(timedelta(minutes=2)):
        notice_staff_changes()
        carry_out()
        assert not staff_changed()
    assert serving(made) == [staff[1]]


def test_who_is_no_longer_in_wecoms_list_of_those_with_the_feature_falls_out(code, staff, serving, sandbox):
    made = code(staff_ids=staff[:2])
    userids = sorted(sandbox.state_ids("member"))
    for listed, expected in ((userids, staff[:2]), (userids[1:], staff[1:2]), (userids, staff[:2])):
        with transaction():
            set_follow_users(listed)
        carry_out()
        assert serving(made) == expected


@pytest.fixture
def departments(session, staff):
    """Department 2 with a child 3; the second member is in 2, the third in 3."""
    with transaction():
        session.add_all(
            [Department(id=2, name="销售", parent_id=1), Department(id=3, name="华南", parent_id=2)]
        )
        session.add_all(
            [
                StaffDepartment(staff_id=staff[1], department_id=2),
                StaffDepartment(staff_id=staff[2], department_id=3),
            ]
        )
        session.execute(update(Staff).values(follows_customers=True))


def test_departments_are_expanded_with_everything_below(code, departments, staff, serving, session):
    from scrm.staff.events import StaffDepartmentsChanged

    made = code(department_ids=[2])
    assert serving(made) == sorted(staff[:3])
    with transaction():
        session.execute(text("DELETE FROM staff_departments WHERE staff_id = :id"), {"id": staff[2]})
        publish(StaffDepartmentsChanged((staff[2],)))
    carry_out()
    assert serving(made) == sorted(staff[:2])


def test_departments_may_be_left_to_wecom(api, sandbox, departments, staff, session):
    made = api.post(URL, json={"name": "n", "department_ids": [2], "use_party": True}).json
    with transaction():
        sandbox.create_department("销售")
    carry_out()
    shown = api.get(f"{URL}/{made['id']}").json
    way = sandbox.log("externalcontact/add_contact_way", everything=True)[0]["body"]
    assert (way["user"], way["party"]) == ([], [2])
    assert (shown["on_duty"], shown["on_duty_party"]) == ([], [2])


def test_who_needs_approval_changes_with_the_window(code, sandbox, noon):
    made = code(accept_slots=[{"weekdays": EVERY_DAY, "begin": "09:00", "end": "13:00"}])
    settings = sandbox.state("contact_way", made["config_id"])["settings"]
    assert settings["skip_verify"] is True
    with clock.shifted(timedelta(hours=1)):
        carry_out()
    assert sandbox.state("contact_way", made["config_id"])["settings"]["skip_verify"] is False


def test_time_on_duty_is_kept(code, staff, session):
    made = code(slots=[slot("13:00", "14:00", staff[1])])
    for hours in (1, 2):
        with clock.shifted(timedelta(hours=hours)):
            carry_out()
    duties = session.scalars(
        select(ChannelDuty).where(ChannelDuty.channel_code_id == made["id"]).order_by(ChannelDuty.id)
    ).all()
    assert [(duty.staff_id, duty.until_at is None) for duty in duties] == [
        (staff[0], False), (staff[1], False), (staff[0], True),
    ]  # fmt: skip
    assert timedelta(minutes=59) < duties[1].until_at - duties[1].from_at < timedelta(minutes=61)


def test_a_code_closes_when_its_time_is_over_and_opens_anew(api, code, sandbox):
    made = code(valid_until=(utcnow() + timedelta(hours=1)).isoformat())
    url = f"{URL}/{made['id']}"
    with clock.shifted(timedelta(hours=1, seconds=1)):
        carry_out()
        assert (api.get(url).json["status"], sandbox.state_ids("contact_way")) == ("closed", [])
        assert api.patch(url, json={"valid_until": None}).json["status"] == "pending"
        carry_out()
    assert api.get(url).json["status"] == "active"
    assert len(sandbox.state_ids("contact_way")) == 1


def test_a_temporary_code_is_over_after_one_add(api, code, door, sandbox):
    made = code(is_temp=True, expires_in=3600, chat_expires_in=7200)
    body = sandbox.log("externalcontact/add_contact_way", everything=True)[0]["body"]
    assert (body["is_temp"], body["expires_in"], body["chat_expires_in"], body["type"]) == (
        True,
        3600,
        7200,
        1,
    )
    [told] = sandbox.scan(config_id=made["config_id"], half="full")
    door.callback(told, made["state"], utcnow())
    carry_out()
    shown = api.get(f"{URL}/{made['id']}").json
    assert (shown["status"], shown["error"], shown["adds"]) == ("closed", None, 1)


def thousand(session, staff):
    """A thousand codes that WeCom holds as they are: half of them hand over from the first to the second at 14:00."""
    a, b = staff[:2]
    userid = session.get(Staff, a).userid
    rows = [
        ChannelCode(
            name=f"c{n}", state=f"s{n}", status=CodeState.ACTIVE, config_id=f"config{n}", contact_type=2,
            staff_ids=[a], tag_ids=[], on_duty=[a], slots=[slot("14:00", "18:00", b if n % 2 else a)],
            accepted={"remark": "", "skip_verify": True, "user": [userid], "state": f"s{n}"}, check_at=utcnow(),
        )
        for n in range(1000)
    ]  # fmt: skip
    session.add_all(rows)
    session.commit()


def planned(session):
    return session.execute(
        select(Effect.kind, Effect.payload).where(Effect.state == EffectState.PLANNED).order_by(Effect.id)
    ).all()


def test_a_thousand_codes_call_nobody_when_nothing_changes_and_once_each_at_a_boundary(
    session, staff, count_statements
):
    thousand(session, staff)
    with count_statements() as made:
        keep_codes_current()
    assert planned(session) == []
    assert made.count < 40, "a fixed number of statements per 500 codes"
    assert not checks_due()
    check_all_codes()
    keep_codes_current()
    assert planned(session) == []
    with clock.shifted(timedelta(hours=2)):
        keep_codes_current()
        calls = planned(session)
        assert [kind for kind, _ in calls] == ["update_contact_way"] * 500
        assert {payload["config_id"] for _, payload in calls} == {f"config{n}" for n in range(1, 1000, 2)}
        keep_codes_current()
        assert len(planned(session)) == 500
