"""Mass-delete alarms: exact at the edges of the window, once per crossing, the same when events come late."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.kernel.errors import Conflict, NotFound
from scrm.kernel.events import publish
from scrm.kernel.permissions import Scope
from scrm.losses.jobs import tell_losses
from scrm.losses.queries.work import judging_due
from scrm.losses.service.alarms import acknowledge
from scrm.staff.events import StaffMerged
from scrm.staff.models import Staff
from tests.profiles import examples
from tests.scrm.losses.conftest import TRANSFER, alarms, alerts, at, deleted, left, minute, record, seen

WINDOW = 10
names = itertools.count(1)


@pytest.fixture
def alarm_at(configure):
    """Alarms at so many deletions within ten minutes; operators are boss."""

    def change(count):
        configure(
            losses={"alarm_count": count, "alarm_minutes": float(WINDOW)}, alerts={"operators": ("boss",)}
        )

    change(3)
    return change


def deletions(*minutes, staff="zs"):
    """The member deletes somebody else at each of these minutes."""
    record(*(deleted(one, who=f"del{next(names)}", staff=staff) for one in minutes))
    tell_losses()


def standing():
    """(first, crossed, last, deletions) of the alarms that stand."""
    return [
        (minute(a.first_at), minute(a.crossed_at), minute(a.last_at), a.deletions)
        for a in sorted(alarms(), key=lambda a: a.first_at)
        if a.withdrawn_at is None
    ]


def told():
    return {(entry.receiver_id, entry.key) for entry in alerts(kind="mass_delete")}


@pytest.mark.parametrize(("last", "rings"), [(10, True), (10 + 1 / 60, False), (5, True), (11, False)])
def test_the_window_holds_both_its_ends(people, alarm_at, last, rings):
    deletions(0, 4, last)
    assert bool(standing()) is rings


def test_one_fewer_is_no_alarm(people, alarm_at):
    deletions(0, 1)
    assert standing() == []


def test_manager_and_operators_are_told_at_once_and_once(people, alarm_at):
    deletions(0, 1, 2)
    deletions(3)
    deletions(4, 5)
    assert standing() == [(0, 2, 5, 6)]
    [alarm] = alarms()
    key = f"mass_delete:{alarm.id}"
    assert told() == {(people["chief"], key), (people["boss"], key)}
    entry = alerts(kind="mass_delete")[0]
    assert entry.urgent
    assert "ZS 自 2026-03-02 12:00 起短时间内删除了 3 个客户" in entry.zh


def test_a_quiet_window_arms_it_again(people, alarm_at):
    deletions(0, 1, 2)
    deletions(12)  # ten minutes later: not quiet for a whole window yet
    assert standing() == [(0, 2, 12, 4)]
    deletions(22.1, 23, 24)
    assert standing() == [(0, 2, 12, 4), (22.1, 24, 24, 3)]
    assert len(told()) == 4


def test_what_came_before_the_window_is_not_part_of_it(people, alarm_at):
    deletions(0, 9, 17, 18, 18.5)
    assert standing() == [(9, 18, 18.5, 4)]


def test_late_deletions_make_stretch_and_join_alarms(people, alarm_at):
    deletions(0, 1, 20, 21)
    assert standing() == []
    deletions(22)
    assert standing() == [(20, 22, 22, 3)]
    deletions(2)
    assert standing() == [(0, 2, 2, 3), (20, 22, 22, 3)]
    deletions(11)
    assert standing() == [(0, 2, 22, 7)]
    assert sum(a.withdrawn_at is not None for a in alarms()) == 1
    assert len({key for _, key in told()}) == 2


def test_members_have_windows_of_their_own(people, alarm_at):
    deletions(0, 1)
    deletions(0, 1, staff="ls")
    assert standing() == []


def test_what_customers_do_and_what_was_only_found_counts_for_nothing(people, alarm_at):
    record(*(left(1, who=f"gone{number}") for number in range(5)))
    record(*(deleted(1, who=f"moved{number}", source=TRANSFER) for number in range(5)))
    for number in range(5):
        seen(-20, ("zs", -100), who=f"found{number}")
        seen(1, who=f"found{number}")
    tell_losses()
    assert standing() == []


def test_a_deletion_that_turns_out_to_be_the_customers_own_takes_an_alarm_back(people, alarm_at):
    deletions(0, 1)
    record(deleted(2, who="wm1"))
    tell_losses()
    assert len(standing()) == 1
    record(left(-30, who="wm1"))
    assert judging_due()
    tell_losses()
    assert standing() == []
    assert not judging_due()
    deletions(3)
    assert standing() == [(0, 3, 3, 3)]
    assert len(alarms()) == 1


def test_zero_means_never_and_one_means_each(people, alarm_at):
    alarm_at(0)
    deletions(0, 0, 0, 0)
    assert standing() == []
    assert not judging_due()
    alarm_at(1)
    deletions(40)
    assert standing() == [(40, 40, 40, 1)]


def test_an_alarm_of_long_ago_is_listed_and_nobody_is_woken(people, alarm_at):
    long_ago = -60 * 24 * 2
    deletions(long_ago, long_ago + 1, long_ago + 2)
    assert len(standing()) == 1
    assert told() == set()


def test_alarms_of_two_rows_of_one_member_are_worked_out_anew(people, alarm_at):
    deletions(0, 1, 2)
    deletions(3, 4, 5, staff="ls")
    with transaction():
        publish(StaffMerged(people["zs"], people["ls"]))
    tell_losses()
    assert standing() == [(0, 2, 5, 6)]


def test_a_person_acknowledges_an_alarm_once(people, alarm_at):
    deletions(0, 1, 2)
    [alarm] = alarms()
    with transaction():
        acknowledge(Scope.all(), alarm.id, "apikey:1", "talked to them")
    with pytest.raises(Conflict, match="apikey:1"):
        acknowledge(Scope.all(), alarm.id, "apikey:2", None)
    with pytest.raises(NotFound):
        acknowledge(Scope.of_staff(people["ls"]), alarm.id, "apikey:2", None)
    deletions(3)
    assert alarms()[0].acknowledged_by == "apikey:1"


def expected(minutes, count):
    """Alarms by reading the clock minute by minute, by other code than ours."""
    times, found = sorted(minutes), []
    for place, now in enumerate(times):
        within = [one for one in times[: place + 1] if now - one <= WINDOW]
        if found and found[-1]["open"] and now - found[-1]["last"] <= WINDOW:
            found[-1]["last"] = now
        elif len(within) >= count:
            found.append({"first": within[-count], "crossed": now, "last": now, "open": True})
    return [
        (one["first"], one["crossed"], one["last"], sum(one["first"] <= t <= one["last"] for t in times))
        for one in found
    ]


@given(
    minutes=st.lists(st.integers(0, 60), max_size=14, unique=True),
    count=st.integers(1, 4),
    data=st.data(),
)
@examples(60)
def test_alarms_are_the_same_in_whatever_order_and_parts_deletions_become_known(
    people, alarm_at, session, minutes, count, data
):
    alarm_at(count)
    userid = f"member{next(names)}"
    session.add(Staff(userid=userid, name=userid))
    session.flush()
    order = data.draw(st.permutations(minutes))
    while order:
        size = data.draw(st.integers(1, len(order)))
        deletions(*order[:size], staff=userid)
        order = order[size:]
    staff_id = session.query(Staff.id).filter_by(userid=userid).scalar()
    found = [
        (minute(a.first_at), minute(a.crossed_at), minute(a.last_at), a.deletions)
        for a in sorted(alarms(), key=lambda a: a.first_at)
        if a.withdrawn_at is None and a.staff_id == staff_id
    ]
    assert found == expected(minutes, count)
    assert utcnow() > at(0)
