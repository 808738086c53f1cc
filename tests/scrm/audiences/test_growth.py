"""An audience is looked at once a day; who came and went is told against the look before."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from scrm.audiences.jobs import measure_growth
from scrm.audiences.models import Audience, AudienceDay, AudienceSnapshot
from scrm.customers.models import Customer
from scrm.kernel.clock import shifted
from tests.scrm.audiences.conftest import call, named


def rename(session, customer, name):
    session.execute(update(Customer).where(Customer.id == customer.id).values(name=name))


def growth(api, id_, days=30):
    items = call(api, "get", f"/audiences/{id_}/growth?days={days}")["items"]
    return [(each["count"], each["joined"], each["left"]) for each in items]


@pytest.fixture
def seen(world, tree, session):
    """An audience of two customers called a that was looked at today, and the customers."""
    customers = [world.customer(name=name) for name in ("a", "a", "b")]
    id_ = tree("人", named("a"))
    measure_growth.func()
    return id_, customers


def test_the_first_look_counts_and_says_nothing_of_coming_and_going(api, seen):
    assert growth(api, seen[0]) == [(2, 0, 0)]
    [day] = call(api, "get", f"/audiences/{seen[0]}/growth")["items"]
    assert (day["since"], day["version"], day["problem"]) == (None, 1, None)


def test_the_next_look_says_who_came_and_went_and_a_second_one_that_day_does_nothing(api, seen, session):
    id_, (first, second, third) = seen
    rename(session, first, "b")
    assert not measure_growth.due()
    measure_growth.func()
    assert growth(api, id_) == [(2, 0, 0)], "once a day"
    with shifted(timedelta(days=1)):
        rename(session, third, "a")
        rename(session, second, "b")
        assert measure_growth.due()
        measure_growth.func()
        measure_growth.func()
        assert growth(api, id_) == [(2, 0, 0), (1, 1, 2)]
        assert growth(api, id_, days=1) == [(1, 1, 2)]


def test_after_days_without_a_look_the_next_counts_against_the_last(api, seen, session):
    id_, (first, *_) = seen
    rename(session, first, "b")
    with shifted(timedelta(days=5)):
        measure_growth.func()
        last = call(api, "get", f"/audiences/{id_}/growth")["items"][-1]
    assert (last["count"], last["joined"], last["left"]) == (1, 0, 1)
    assert last["since"] < last["day"]
    assert session.scalar(select(func.count()).select_from(AudienceSnapshot)) == 1


def test_the_list_of_audiences_shows_the_newest_count_to_keys_that_see_everybody(
    api, api_with, world, seen, tree
):
    new = tree("新", named("x"))
    listed = {each["id"]: each["last_look"] for each in call(api, "get", "/audiences")["items"]}
    assert (listed[seen[0]]["count"], listed[new]) == (2, None)
    with shifted(timedelta(days=1)):
        world.customer(name="a")
        measure_growth.func()
    listed = {each["id"]: each["last_look"] for each in call(api, "get", "/audiences")["items"]}
    assert (listed[seen[0]]["count"], listed[new]["count"]) == (3, 0)
    limited = call(api_with("*", staff_ids=[world.staff().id]), "get", "/audiences")["items"]
    assert [each["last_look"] for each in limited] == [None, None]


def test_what_was_put_away_or_deleted_is_not_looked_at(api, tree, listing, session):
    for made in (tree("1", named("a")), listing("2")):
        call(api, "post", f"/audiences/{made}/archive")
    call(api, "delete", f"/audiences/{tree('3', named('a'))}", status=204)
    measure_growth.func()
    assert session.scalar(select(func.count()).select_from(AudienceDay)) == 0


def test_a_look_that_fails_says_why_keeps_the_others_going_and_is_not_repeated_all_day(api, tree, session):
    broken, sound = tree("坏", named("a")), tree("好", named("a"))
    session.execute(update(Audience).where(Audience.id == broken).values(condition={"kind": "gone"}))
    measure_growth.func()
    [day] = call(api, "get", f"/audiences/{broken}/growth")["items"]
    assert (day["count"], "must be one of" in day["problem"]) == (None, True)
    assert growth(api, sound) == [(0, 0, 0)]
    assert not measure_growth.due()


def test_growth_counts_everybodys_customers_so_a_limited_key_does_not_see_it(api_with, world, tree):
    id_ = tree("人", named("a"))
    call(api_with("*", staff_ids=[world.staff().id]), "get", f"/audiences/{id_}/growth", status=403)
