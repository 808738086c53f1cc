"""Whatever the company was before and is now, whatever order pages come in and whatever fails for a while or for good:
after a sync ours equals WeCom's, except for members who could not be read, who keep exactly what they had.
"""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrm.kernel.clock import shifted
from scrm.sync import jobs
from tests.conftest import empty_tables
from tests.profiles import examples
from tests.scrm.sync.conftest import begin, living, relations, run_of, sync, truth

MEMBERS, PEOPLE = 3, 5
PAIR = st.tuples(st.integers(0, MEMBERS - 1), st.integers(0, PEOPLE - 1))
CHANGE = st.one_of(
    st.tuples(st.just("add"), PAIR),
    st.tuples(st.just("end"), PAIR),
    st.tuples(st.just("leave"), PAIR),
    st.tuples(st.just("remark"), PAIR),
    st.tuples(st.just("tag"), PAIR),
    st.tuples(st.just("bare"), PAIR),
)
FAULT = st.sampled_from(
    [
        (),
        ("errcode", "externalcontact/batch/get_by_user", -1),
        ("truncate", "externalcontact/batch/get_by_user", 0),
        ("errcode", "externalcontact/list", -1),
        ("errcode", "externalcontact/batch/get_by_user", 45009),
        ("disconnect", "externalcontact/get_follow_user_list", 0),
    ]
)


@pytest.fixture
def world(app, committed, sandbox, redis):
    return World(app, sandbox, committed, redis)


class World:
    """A company of three members and five people, and what hypothesis does to it."""

    def __init__(self, app, sandbox, session, redis):
        self.app, self.sandbox, self.session, self.redis = app, sandbox, session, redis

    def begin(self):
        self.sandbox.clear_faults()
        self.sandbox.reset()
        self.session.rollback()
        empty_tables()
        self.redis.flushdb()  # token and cool-downs died with the corp before
        self.app.extensions.pop("scrm_wecom", None)
        self.userids = self.sandbox.population(members=MEMBERS, departments=1, customers=0)["members"]
        self.people = [self.sandbox.add(self.userids[0])[0]["external_userid"] for _ in range(PEOPLE)]
        for who in self.people:
            self.sandbox.delete_contact(self.userids[0], who)
        self.tags = self.sandbox.state_ids("tag")
        self.follows = set()

    def change(self, what, pair):
        userid, who = self.userids[pair[0]], self.people[pair[1]]
        if what == "add" and pair not in self.follows:
            self.sandbox.add(userid, external_userid=who)
            self.follows.add(pair)
        elif pair not in self.follows:
            return
        elif what == "end":
            self.sandbox.delete_contact(userid, who)
            self.follows.discard(pair)
        elif what == "leave":
            self.sandbox.delete_follow(userid, who)
        elif what == "remark":
            self.sandbox.edit(userid, who, remark=f"r{pair}")
        elif what in {"tag", "bare"}:
            self.sandbox.edit(userid, who, tags=self.tags[: 2 if what == "tag" else 0])


@examples(12)
@given(
    before=st.lists(CHANGE, max_size=14),
    after=st.lists(CHANGE, max_size=14),
    fault=FAULT,
    failing=st.sets(st.integers(0, MEMBERS - 1), max_size=1),
    steps=st.booleans(),
)
def test_after_a_sync_ours_equals_wecoms(world, before, after, fault, failing, steps):
    world.begin()
    for change in before:
        world.change(*change)
    sync(entities=["staff", "tags", "customers"])
    assert living(world.session) == truth(world.sandbox)
    kept = living(world.session)
    for change in after:
        world.change(*change)
    failing_userids = [world.userids[number] for number in failing]
    world.sandbox.fail_members(failing_userids, 60021)
    if fault:
        world.sandbox.fault(fault[0], api=fault[1], errcode=fault[2], times=1)
    _sync_patiently(steps=steps)
    expected = {key: row for key, row in truth(world.sandbox).items() if key[1] not in failing_userids}
    ours = living(world.session)
    assert {key: row for key, row in ours.items() if key[1] not in failing_userids} == expected
    assert {key for key in ours if key[1] in failing_userids} == {
        key for key in kept if key[1] in failing_userids
    }
    assert set(relations(world.session)) >= set(kept)  # nothing is ever deleted, only ended


def _sync_patiently(*, steps):
    """Work until the run is over, letting time pass whenever it waits; page by page or in one go."""
    moved = timedelta(minutes=1)
    with shifted(moved):
        run_id = begin(entities=["staff", "tags", "customers"])
    for _ in range(60):
        with shifted(moved):
            while jobs.turn(0.0) if steps else jobs.work(10):
                pass
        if run_of(run_id).state in {"done", "failed"}:
            return
        moved += timedelta(minutes=5)
    raise AssertionError(run_of(run_id).state)
