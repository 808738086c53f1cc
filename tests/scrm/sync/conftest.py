"""A small company at the sandbox WeCom, and a sync of it done here and now."""

import time
from datetime import timedelta

import pytest
from sqlalchemy import select, text

from scrm.customers.models import Customer, Follow
from scrm.kernel import events
from scrm.kernel.clock import from_epoch, shifted
from scrm.kernel.db import transaction
from scrm.staff.models import Staff
from scrm.sync import jobs
from scrm.sync.models import AT_WORK, SyncRun
from scrm.sync.service.runs import Wish, start_run
from tags.models import Tag, TagAssignment

LATER = timedelta(minutes=1)  # older than what WeCom's reads may trail its events
DOMAIN = (
    "departments", "staff", "staff_departments", "customers", "follows", "tag_groups", "tags", "tag_assignments",
    "tag_sources", "tag_history", "customer_groups", "group_stays", "timeline", "customer_counters", "channel_codes",
    "found_contact_ways", "group_codes", "entry_welcomes", "kf_accounts", "kf_servicers", "effects", "rule_due",
    "losses", "alerts", "welcomes", "messages",
)  # fmt: skip


@pytest.fixture
def corp(committed, sandbox):
    """Four members, forty customers, two tag groups, two customer groups."""
    sandbox.population(members=4, departments=2, customers=40, groups=2, group_size=6)
    return sandbox


@pytest.fixture
def told():
    """Every event published while the test runs."""
    seen = []
    before = events.deliver

    def deliver():
        from scrm.kernel.db import session

        seen.extend(session().info.get("events", []))
        before()

    events.deliver = deliver
    yield seen
    events.deliver = before


def begin(**wish):
    """Begin a run; returns its id."""
    with transaction():
        return start_run(Wish(by="test", **wish)).id


def sync(**wish):
    """Begin a run and work on it until it is over or waits for a person; returns it."""
    return finish(begin(**wish))


def later_sync(**wish):
    """The same, when what was added a moment ago is old enough to be missed."""
    with shifted(LATER):
        return sync(**wish)


def finish(run_id):
    """Work on the open run until nothing can be done."""
    while jobs.work(30):
        pass
    return run_of(run_id)


def step_until(run_id, state):
    """Work turn by turn until the run is in this state."""
    for _ in range(2000):
        if run_of(run_id).state == state:
            return
        assert jobs.turn(time.monotonic())
    raise AssertionError(f"never {state}")


def run_of(run_id):
    """The run as it stands."""
    with transaction() as session:
        run = session.get(SyncRun, run_id, populate_existing=True)
        session.expunge(run)
    return run


def counts(run):
    """{entity: (new, changed, gone)} of everything that differed."""
    rows = {name: (row["new"], row["changed"], row["gone"]) for name, row in run.counts.items()}
    return {name: row for name, row in rows.items() if any(row)}


def relations(session):
    """{(external_userid, userid): (Customer, Follow)}."""
    session.rollback()
    session.expire_all()
    statement = select(Customer, Follow, Staff.userid).join(Follow, Follow.customer_id == Customer.id)
    found = session.execute(statement.join(Staff, Staff.id == Follow.staff_id)).all()
    session.rollback()
    return {(c.external_userid, userid): (c, f) for c, f, userid in found}


def living(session):
    """What we hold as WeCom would show it: {(external_userid, userid): (name, remark, state, added_at, tags)}."""
    tags = {}
    rows = select(TagAssignment.follow_id, Tag.wecom_id).join(Tag, Tag.id == TagAssignment.tag_id)
    for follow_id, wecom_id in session.execute(rows.where(TagAssignment.state == "active")):
        tags.setdefault(follow_id, set()).add(wecom_id)
    return {
        key: (c.name, f.remark, f.state, f.added_at, frozenset(tags.get(f.id, ())))
        for key, (c, f) in relations(session).items()
        if f.status in {"active", "deleted_by_customer"}
    }


def truth(corp):
    """What the simulated WeCom holds, in the same shape."""
    found = {}
    for who in corp.state_ids("customer"):
        customer = corp.state("customer", who)
        for f in customer["follows"]:
            if not f["half"]:
                found[who, f["userid"]] = (
                    customer["name"], f["remark"], f["state"] or None, from_epoch(f["createtime"]), frozenset(f["tags"])
                )  # fmt: skip
    return found


def versions(session):
    """Every row of every domain table as (table, ctid, xmin): a row that was written again has another."""
    session.rollback()
    found = set()
    for table in DOMAIN:
        rows = text(f"SELECT '{table}', ctid::text, xmin::text, tableoid::text FROM {table}")  # noqa: S608  # ours
        found |= set(session.execute(rows).all())
    session.rollback()
    return found


def at_work(run):
    """Whether workers have something to do for it."""
    return run.state in AT_WORK
