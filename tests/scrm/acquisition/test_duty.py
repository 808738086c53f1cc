"""Who serves a code: against a slow reference for random rosters, and caps under concurrent adds."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrm.acquisition.models import DutyReason, WhenOver
from scrm.acquisition.service.duty import MOST, Plan, Roster, World, decide
from scrm.kernel.slots import DAY, DateSlot, WeekSlot
from tests.profiles import examples

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 18, 4, tzinfo=UTC)  # a Wednesday, 12:00 in Shanghai
PEOPLE = range(1, 9)

people = st.lists(st.sampled_from(PEOPLE), max_size=4, unique=True).map(tuple)
rosters = st.builds(Roster, people, st.lists(st.sampled_from([10, 20]), max_size=2, unique=True).map(tuple))
minutes = st.integers(0, DAY - 1)
week_slots = st.builds(WeekSlot, st.frozensets(st.integers(1, 7), min_size=1), minutes, st.integers(1, DAY))
date_slots = st.builds(
    lambda first, days, begin, end: DateSlot(first, first + timedelta(days=days), begin, end),
    st.dates(date(2026, 10, 20), date(2026, 10, 30)), st.integers(0, 4), minutes, st.integers(1, DAY),
)  # fmt: skip
plans = st.builds(
    Plan,
    code_id=st.just(1),
    usual=rosters,
    slots=st.lists(st.tuples(week_slots, rosters), max_size=3).map(tuple),
    dates=st.lists(st.tuples(date_slots, rosters), max_size=2).map(tuple),
    backup=people,
    daily_cap=st.none() | st.integers(1, 3),
    caps=st.dictionaries(st.sampled_from(PEOPLE), st.integers(1, 3), max_size=3),
    last=people,
)
worlds = st.builds(
    World,
    now=st.integers(0, 15 * DAY).map(lambda m: datetime(2026, 10, 18, tzinfo=UTC) + timedelta(minutes=m)),
    zone=st.sampled_from([SHANGHAI, BERLIN]),
    able=st.frozensets(st.sampled_from(PEOPLE)),
    below=st.fixed_dictionaries({10: people, 20: people}),
    adds=st.dictionaries(st.tuples(st.just(1), st.sampled_from(PEOPLE)), st.integers(0, 4)),
)


def holds(slot, wall):
    """Day by day: does a slot that began on this or the day before still run at this minute?"""
    minute = wall.hour * 60 + wall.minute
    for back in (0, 1):
        day = wall.date() - timedelta(days=back)
        named = (
            day.isoweekday() in slot.weekdays
            if isinstance(slot, WeekSlot)
            else slot.first <= day <= slot.last
        )
        end = slot.end + (DAY if slot.end <= slot.begin else 0)
        if named and slot.begin <= minute + back * DAY < end:
            return True
    return False


def reference(plan, world):
    """Who serves, the slow and obvious way."""
    wall = world.now.astimezone(world.zone)
    roster = plan.usual
    for slot, other in reversed([*plan.dates, *plan.slots]):
        if holds(slot, wall):
            roster = other
    can = [one for one in roster.staff_ids if one in world.able]
    for department in roster.department_ids:
        can += [one for one in world.below[department] if one not in can]
    today = {one: world.adds.get((1, one), 0) for one in PEOPLE}
    free = [one for one in can if today[one] < plan.caps.get(one, plan.daily_cap or 99)]
    backup = [one for one in plan.backup if one in world.able and today[one] < plan.caps.get(one, 99)]
    return free or backup


@examples(300)
@given(plans, worlds)
def test_the_list_is_that_of_a_slow_reference_and_never_empties(plan, world):
    duty = decide(plan, world)
    expected = reference(plan, world)
    if expected:
        assert list(duty.staff_ids) == expected
        assert duty.reason != DutyReason.KEPT
    else:
        assert duty.reason == DutyReason.KEPT
        assert duty.staff_ids or not (plan.last or plan.usual.staff_ids)


@examples(150)
@given(plans, worlds)
def test_nothing_changes_before_the_next_check_as_long_as_nobody_adds_or_leaves(plan, world):
    duty = decide(plan, world)
    until = duty.check_at or world.now + timedelta(days=8)
    for part in (0.25, 0.5, 0.999):
        later = decide(
            replace(plan, last=duty.staff_ids), replace(world, now=world.now + (until - world.now) * part)
        )
        assert later.staff_ids == duty.staff_ids


@examples(150)
@given(cap=st.integers(1, 5), members=st.integers(1, 5), burst=st.integers(1, 4), seed=st.integers(0, 10_000))
def test_a_cap_is_exceeded_by_at_most_the_adds_under_way(cap, members, burst, seed):
    """People who scan while WeCom still shows a full member are given to them: burst - 1 at the most, never more."""
    random, team = Random(seed), tuple(range(1, members + 1))
    plan = Plan(1, Roster(team), backup=(9,), daily_cap=cap)
    counts = dict.fromkeys((*team, 9), 0)
    duty = None
    for _ in range(30):
        world = World(NOON, SHANGHAI, frozenset((*team, 9)), {}, {(1, one): n for one, n in counts.items()})
        duty = decide(replace(plan, last=duty.staff_ids if duty else ()), world)
        for _ in range(burst):
            counts[random.choice(duty.staff_ids)] += 1
    assert all(counts[one] <= cap + burst - 1 for one in team)
    if sum(counts[one] for one in team) >= cap * members:
        assert duty.staff_ids == (9,)


def world(**changes):
    return World(
        **{"now": NOON, "zone": SHANGHAI, "able": frozenset(PEOPLE), "below": {}, "adds": {}, **changes}
    )


EVERY_DAY = frozenset(range(1, 8))


def test_dates_go_before_weekdays_and_weekdays_before_the_usual_roster():
    plan = Plan(
        1,
        Roster((1,)),
        slots=((WeekSlot(EVERY_DAY, 0, DAY), Roster((2,))),),
        dates=((DateSlot(date(2026, 11, 18), date(2026, 11, 18), 0, DAY), Roster((3,))),),
    )
    assert decide(plan, world()).staff_ids == (3,)
    tomorrow = world(now=NOON + timedelta(days=1))
    assert (decide(plan, tomorrow).staff_ids, decide(plan, tomorrow).reason) == ((2,), DutyReason.SLOT)


def test_at_midnight_of_the_corps_zone_caps_start_anew():
    plan = Plan(1, Roster((1,)), backup=(2,), daily_cap=3)
    full = decide(plan, world(adds={(1, 1): 3}))
    assert (full.staff_ids, full.reason) == ((2,), DutyReason.BACKUP)
    assert full.check_at == datetime(2026, 11, 18, 16, tzinfo=UTC)


def test_the_cap_of_the_code_does_not_bind_its_backup_and_a_cap_of_their_own_does():
    plan = Plan(1, Roster((1,)), backup=(2, 3), daily_cap=1, caps={3: 1})
    assert decide(plan, world(adds={(1, 1): 1, (1, 2): 9, (1, 3): 1})).staff_ids == (2,)


def test_without_anybody_the_last_list_stays_and_is_looked_at_again_tomorrow():
    plan = Plan(1, Roster((1, 2)), last=(1, 2))
    duty = decide(plan, world(able=frozenset()))
    assert (duty.staff_ids, duty.reason) == ((1, 2), DutyReason.KEPT)
    assert duty.check_at is not None


def test_a_contact_way_never_gets_more_than_a_hundred():
    plan = Plan(1, Roster((), (10,)))
    assert len(decide(plan, world(below={10: range(1, 201)})).staff_ids) == MOST == 100


def test_departments_may_be_left_to_wecom():
    plan = Plan(1, Roster((1,), (10,)), use_party=True, backup=(9,))
    duty = decide(plan, world(below={10: (2, 3)}))
    assert (duty.staff_ids, duty.party) == ((1,), (10,))
    nobody = decide(plan, world(able=frozenset({9}), below={10: ()}))
    assert (nobody.staff_ids, nobody.party) == ((9,), ())


@pytest.mark.parametrize(("hour", "accepts"), [(1, True), (10, False)])
def test_customers_are_accepted_at_once_in_the_windows_only(hour, accepts):
    plan = Plan(1, Roster((1,)), accept=(WeekSlot(EVERY_DAY, 9 * 60, 18 * 60),))
    duty = decide(plan, world(now=datetime(2026, 11, 18, hour, tzinfo=UTC)))
    assert duty.accepts is accepts
    assert duty.check_at


def test_a_code_whose_time_is_over_goes_to_its_backup():
    plan = Plan(1, Roster((1,)), backup=(2,), valid_until=NOON, when_over=WhenOver.BACKUP)
    before = decide(plan, world(now=NOON - timedelta(seconds=1)))
    assert (before.staff_ids, before.check_at) == ((1,), NOON)
    after = decide(plan, world())
    assert (after.staff_ids, after.reason, after.check_at) == ((2,), DutyReason.OVER, None)
