"""Fetching customers from WeCom: cheap, complete, and never concluding anything from a failure."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from scrm.customers import jobs, queries
from scrm.customers.events import FollowLost, FollowTagsSeen, LostBy
from scrm.customers.jobs import ListChunk, choose_lists
from scrm.customers.models import Customer, Follow
from scrm.customers.service.details import CustomerSeen, apply_details
from scrm.customers.service.recording import Add, Deletion, record_adds, record_deletions
from scrm.customers.service.wanting import want_refresh, want_refresh_after
from scrm.kernel import ending, events
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import transaction
from scrm.staff.models import Staff
from scrm.wecom.client import wecom
from scrm.wecom.errors import Busy

LATER = timedelta(minutes=1)


@pytest.fixture
def userids(committed, sandbox):
    return sandbox.population(members=3, departments=1, customers=0)["members"]


@pytest.fixture
def corp(sandbox, userids):
    return sandbox


@pytest.fixture
def heard():
    seen = []
    for kind in (FollowLost, FollowTagsSeen):
        events.subscribe(kind)(seen.extend)
    yield seen
    for kind in (FollowLost, FollowTagsSeen):
        events._subscribers[kind].remove(seen.extend)


def arrive(corp, userid, count=1, **person):
    """People add a member, and the callbacks are recorded."""
    people = corp.add(userid, count=count, **person)
    told([Add(userid, p["external_userid"], utcnow().replace(microsecond=0)) for p in people])
    return [p["external_userid"] for p in people]


def told(adds):
    with transaction():
        record_adds(adds)


def calls(corp):
    counts = corp.log_counts()
    return {name.removeprefix("externalcontact/"): sum(counts.get(name, {}).values()) for name in
            ("externalcontact/get", "externalcontact/batch/get_by_user")}  # fmt: skip


def rows(session):
    session.expire_all()
    statement = select(Customer, Follow, Staff.userid).outerjoin(Follow, Follow.customer_id == Customer.id)
    found = session.execute(statement.outerjoin(Staff, Staff.id == Follow.staff_id))
    return {(c.external_userid, userid): (c, f) for c, f, userid in found}


def test_a_new_customer_gets_every_field_and_the_want_is_cleared(corp, committed, userids, heard):
    (who,) = arrive(corp, userids[0], name="李 $1", state="channel_1", add_way=1)
    corp.edit(userids[0], who, remark="老李", description="d", mobiles=["13800000001"], own_tags=["mine"])
    jobs.refresh_customers()
    customer, follow = rows(committed)[who, userids[0]]
    assert (customer.name, customer.type, customer.unionid is not None) == ("李 $1", 1, True)
    assert customer.avatar.endswith("/0")
    assert (follow.remark, follow.description, follow.remark_mobiles) == ("老李", "d", ["13800000001"])
    assert (follow.state, follow.add_way, follow.status) == ("channel_1", 1, "active")
    assert (customer.refresh_wanted_at, customer.refresh_failed) == (None, None)
    assert customer.refreshed_at is not None
    assert not queries.refresh_due()
    assert calls(corp) == {"get": 1, "batch/get_by_user": 0}


def test_a_second_edit_in_the_second_of_the_first_is_not_missed(corp, committed, userids, heard):
    (who,) = arrive(corp, userids[0])
    jobs.refresh_customers()
    corp.edit(userids[0], who, remark="first")
    with transaction():
        want_refresh_after({who: utcnow().replace(microsecond=0)})
    jobs.refresh_customers()  # within the second: too early
    corp.edit(userids[0], who, remark="second")  # its callback has the same bytes and is not kept
    with shifted(timedelta(seconds=1)):
        jobs.refresh_customers()
    assert rows(committed)[who, userids[0]][1].remark == "second"


def test_a_burst_for_one_member_is_read_as_a_list_not_one_by_one(corp, committed, userids):
    arrive(corp, userids[0], count=120)
    jobs.refresh_customers()
    assert all(c.name and f.confirmed_at for c, f in rows(committed).values())
    assert calls(corp) == {"get": 0, "batch/get_by_user": 2}


def test_a_list_that_turns_out_longer_than_known_is_given_up_for_single_calls(corp, committed, userids):
    corp.add(userids[0], count=450)
    arrive(corp, userids[0], count=3)
    jobs.refresh_customers()
    assert all(c.name for c, _ in rows(committed).values())
    assert calls(corp) == {"get": 3, "batch/get_by_user": 2}


def test_followers_beyond_one_page_are_all_read(corp, committed, userids):
    corp.set_limits(follower_page=2)
    (who,) = arrive(corp, userids[0])
    for userid in userids[1:]:
        corp.add(userid, external_userid=who)
    jobs.refresh_customers()
    assert {userid for _, userid in rows(committed)} == set(userids)


def test_relations_that_wecom_no_longer_shows_are_gone_and_told_once(corp, committed, userids, heard):
    (who,) = arrive(corp, userids[0])
    corp.add(userids[1], external_userid=who)
    jobs.refresh_customers()
    corp.delete_contact(userids[0], who)
    with shifted(LATER):
        for _ in range(2):
            with transaction():
                want_refresh([who])
            jobs.refresh_customers()
    found = rows(committed)
    assert found[who, userids[0]][1].status == "deleted_by_staff"
    assert found[who, userids[1]][1].status == "active"
    assert [e.by for e in heard if isinstance(e, FollowLost)] == [LostBy.STAFF]


def test_a_customer_nobody_follows_any_more_loses_its_relations_only_by_wecoms_word(corp, committed, userids):
    (who,) = arrive(corp, userids[0])
    jobs.refresh_customers()
    corp.delete_contact(userids[0], who)
    with shifted(LATER):
        with transaction():
            want_refresh([who])
        corp.fault("errcode", api="externalcontact/get", errcode=-1, times=None)
        jobs.refresh_customers()
        customer, follow = rows(committed)[who, userids[0]]
        assert (follow.status, customer.refresh_attempts) == ("active", 1)
        assert customer.refresh_failed.startswith("-1")
        assert customer.refresh_wanted_at is not None
        assert not queries.refresh_due()
        corp.clear_faults()
    with shifted(2 * LATER):
        assert queries.refresh_due()
        jobs.refresh_customers()
    customer, follow = rows(committed)[who, userids[0]]
    assert (follow.status, customer.refresh_attempts, customer.refresh_failed) == (
        "deleted_by_staff",
        0,
        None,
    )


def test_a_relation_wecom_does_not_show_yet_is_asked_about_again_not_lost(corp, committed, userids):
    with transaction():
        record_adds([Add(userids[0], "wmNotYetThere", utcnow().replace(microsecond=0))])
    jobs.refresh_customers()
    customer, follow = rows(committed)["wmNotYetThere", userids[0]]
    assert follow.status == "active"
    assert customer.refresh_wanted_at is not None
    with shifted(LATER):
        jobs.refresh_customers()
    assert rows(committed)["wmNotYetThere", userids[0]][1].status == "deleted_by_staff"


def test_a_half_added_customer_stays_half_though_wecom_shows_no_relation(corp, committed, userids):
    who = corp.add(userids[0], half="half")[0]["external_userid"]
    told([Add(userids[0], who, datetime(2026, 1, 1, tzinfo=UTC), half=True)])
    jobs.refresh_customers()
    customer, follow = rows(committed)[who, userids[0]]
    assert (follow.status, customer.refresh_wanted_at) == ("half", None)


def test_a_wish_that_comes_during_the_fetch_is_not_lost(corp, committed, userids):
    (who,) = arrive(corp, userids[0])
    ahead = utcnow() + timedelta(seconds=5)
    committed.execute(update(Customer).values(refresh_wanted_at=ahead))
    committed.commit()
    with shifted(timedelta(seconds=6)):
        jobs.refresh_customers()
    assert rows(committed)[who, userids[0]][0].refresh_wanted_at is None
    committed.execute(update(Customer).values(refresh_wanted_at=utcnow() + LATER))
    committed.commit()
    with transaction():
        apply_details([CustomerSeen(who, {}, settled=True)], utcnow() + timedelta(seconds=10))
    assert rows(committed)[who, userids[0]][0].refresh_wanted_at is not None


def test_a_relation_shown_in_the_second_of_its_deletion_is_asked_about_again(corp, committed, userids):
    (who,) = arrive(corp, userids[0])
    with transaction():
        record_deletions([Deletion(userids[0], who, utcnow() + timedelta(seconds=2), LostBy.STAFF)])
    jobs.refresh_customers()
    customer, follow = rows(committed)[who, userids[0]]
    assert follow.status == "deleted_by_staff"
    assert customer.refresh_wanted_at is not None
    with shifted(LATER):
        jobs.refresh_customers()
    assert rows(committed)[who, userids[0]][1].status == "active"


def test_who_was_not_asked_about_because_the_process_ends_is_wanted_as_before(corp, committed, userids):
    (who,) = arrive(corp, userids[0])
    closed = Busy("externalcontact/get", 45033, "too many at once")
    wecom().gateway.governor.cool_down("externalcontact/get", closed)  # so that there is a wait
    ending.asked.set()
    try:
        jobs.refresh_customers()
        jobs._refresh_round()  # the signal comes during a round
    finally:
        ending.asked.clear()
    customer = rows(committed)[who, userids[0]][0]
    assert (customer.refresh_failed, customer.refresh_attempts) == (None, 0)
    assert calls(corp)["get"] == 0
    assert queries.refresh_due()
    jobs.refresh_customers()
    assert rows(committed)[who, userids[0]][0].refreshed_at is not None


@pytest.mark.parametrize(
    ("wanted", "counts", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 2}, {"a": 100}, [ListChunk(("a",), 1)]),
        ({"a": 2}, {"a": 101}, []),
        ({"a": 3}, {"a": 201}, []),
        ({"a": 3}, {"a": 200}, [ListChunk(("a",), 2)]),
        ({"a": 2, "b": 2}, {"a": 10, "b": 10}, [ListChunk(("a", "b"), 3)]),
        ({"a": 200, "b": 200}, {"a": 450, "b": 450}, [ListChunk(("a",), 199), ListChunk(("b",), 199)]),
    ],
)
def test_lists_are_chosen_where_they_cost_fewer_calls(wanted, counts, expected):
    assert choose_lists(wanted, counts) == expected
