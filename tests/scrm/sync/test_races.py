"""Events that come while a sync runs win; several workers share it; a worker that is gone is replaced."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

from sqlalchemy import select, text

from scrm.customers.events import LostBy
from scrm.customers.jobs import refresh_customers
from scrm.customers.service.recording import Add, Deletion, record_adds, record_deletions
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import db, transaction
from scrm.sync import jobs
from scrm.sync.models import PartState, SyncPart
from scrm.sync.service import parts
from scrm.sync.service.pages import Page
from tests.scrm.sync.conftest import LATER, begin, finish, living, relations, run_of, step_until, sync, truth

PEOPLE = {"entities": ["staff", "tags", "customers"]}


def whole_seconds():
    return utcnow().replace(microsecond=0)


def test_a_deletion_told_after_the_page_was_read_stays(corp, committed):
    sync(**PEOPLE)
    (who, userid), *_ = sorted(relations(committed))
    corp.edit(userid, who, remark="neu")
    run_id = begin(**PEOPLE)
    step_until(run_id, "applying")
    with transaction():
        record_deletions([Deletion(userid, who, whole_seconds(), LostBy.STAFF)])
    finish(run_id)
    assert relations(committed)[who, userid][1].status == "deleted_by_staff"


def test_an_add_told_after_the_list_was_read_is_not_called_gone(corp, committed):
    sync(**PEOPLE)
    (_, userid), *_ = sorted(relations(committed))
    with shifted(LATER):
        run_id = begin(**PEOPLE)
        step_until(run_id, "comparing")
        newcomer = corp.add(userid)[0]["external_userid"]
        with transaction():
            record_adds([Add(userid, newcomer, whole_seconds())])
        finish(run_id)
    assert relations(committed)[newcomer, userid][1].status == "active"


def test_an_edit_fetched_after_the_page_was_read_stays(corp, committed):
    sync(**PEOPLE)
    (who, userid), *_ = sorted(relations(committed))
    run_id = begin(**PEOPLE)
    step_until(run_id, "applying")
    corp.edit(userid, who, remark="newest", tags=[corp.state_ids("tag")[0]])
    with transaction() as session:
        session.execute(
            text("UPDATE customers SET refresh_wanted_at = now() WHERE external_userid = :who"), {"who": who}
        )
    refresh_customers()
    finish(run_id)
    assert relations(committed)[who, userid][1].remark == "newest"


def test_a_relation_found_missing_that_comes_back_before_it_is_ended_stays(corp, committed):
    sync(**PEOPLE)
    (who, userid), *_ = sorted(relations(committed))
    corp.delete_contact(userid, who)
    with shifted(LATER):
        run_id = begin(**PEOPLE)
        step_until(run_id, "applying")
        corp.add(userid, external_userid=who)
        with transaction():
            record_adds([Add(userid, who, whole_seconds())])
        finish(run_id)
    assert relations(committed)[who, userid][1].status == "active"


def test_a_customer_who_left_one_way_stays_so(corp, committed):
    sync(**PEOPLE)
    (who, userid), *_ = sorted(relations(committed))
    corp.delete_follow(userid, who)
    with transaction():
        record_deletions([Deletion(userid, who, whole_seconds(), LostBy.CUSTOMER)])
    with shifted(LATER):
        sync(**PEOPLE)
    assert relations(committed)[who, userid][1].status == "deleted_by_customer"


def test_a_half_relation_that_became_full_unheard_is_full_and_one_that_ended_unheard_stays_half(
    corp, committed
):
    """WeCom shows nothing of half relations (84061), so that their end cannot be seen; see ADR 16."""
    sync(**PEOPLE)
    (_, userid), *_ = sorted(relations(committed))
    full, ended = (p["external_userid"] for p in corp.add(userid, count=2))
    with transaction():
        record_adds([Add(userid, who, whole_seconds() - LATER, half=True) for who in (full, ended)])
    corp.delete_contact(userid, ended)
    with shifted(LATER):
        sync(**PEOPLE)
    after = relations(committed)
    assert (after[full, userid][1].status, after[ended, userid][1].status) == ("active", "half")


def test_several_workers_share_one_run(app, corp, committed):
    for userid in corp.state_ids("member"):
        corp.add(userid, count=320)
    run_id = begin(**PEOPLE)
    barrier = Barrier(3)

    def work():
        with app.app_context():
            barrier.wait()
            until = time.monotonic() + 60
            while run_of(run_id).state not in {"done", "failed"} and time.monotonic() < until:
                if not jobs.work(1.0):
                    time.sleep(0.05)
            db.session.remove()

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(work) for _ in range(3)]:
            done.result()
    assert run_of(run_id).state == "done"
    assert living(committed) == truth(corp)
    pages = [
        (tuple(c["body"]["userid_list"]), c["body"].get("cursor"))
        for c in corp.log("externalcontact/batch/get_by_user")
    ]
    assert len(pages) == len(set(pages))  # nobody read a page twice


def test_a_part_of_a_worker_that_is_gone_is_taken_over_where_it_stood(corp, committed):
    userid = corp.state_ids("member")[0]
    corp.add(userid, count=450)
    run_id = begin(entities=["tags", "customers"])
    step_until_pages(committed, 2)
    with transaction():
        (held,) = parts.claim_parts(run_id, SyncPart.entity == "customers", 1)  # and never heard of again
    assert held.pages >= 2
    assert not jobs.turn(time.monotonic())  # nothing can be done while the lease lives
    with shifted(timedelta(minutes=5)):
        run = finish(run_id)
        with transaction():
            late = parts.record_pages([(held, Page(utcnow(), cursor="nonsense"))], release=False)
    assert late == []  # the one who comes back late writes nothing
    assert run.state == "done"
    assert living(committed) == truth(corp)
    cursors = [c["body"].get("cursor") for c in corp.log("externalcontact/batch/get_by_user")]
    assert len(cursors) == len(set(cursors))  # no page was read again


def step_until_pages(committed, pages):
    question = text("SELECT coalesce(max(pages), 0) FROM sync_parts WHERE entity = 'customers'")
    while committed.scalar(question) < pages:
        committed.rollback()
        assert jobs.turn(time.monotonic())
    committed.rollback()


def test_a_slice_that_cannot_be_written_fails_its_part_only_and_not_for_ever(corp, committed):
    run_id = begin()
    step_until(run_id, "applying")
    with transaction() as session:
        session.execute(
            text("ALTER TABLE customer_groups ADD CONSTRAINT broken CHECK (name IS NULL) NOT VALID")
        )
    try:
        with shifted(timedelta(0)):
            finish(run_id)
        for minutes in range(1, 12):
            with shifted(timedelta(minutes=minutes)):
                finish(run_id)
    finally:
        with transaction() as session:
            session.execute(text("ALTER TABLE customer_groups DROP CONSTRAINT broken"))
    run = run_of(run_id)
    assert run.state == "done"
    assert living(committed) == truth(corp)
    failed = committed.scalars(select(SyncPart.entity).where(SyncPart.state == PartState.FAILED)).all()
    assert failed == ["groups"]


def test_a_cancelled_run_is_written_by_nobody(corp, committed):
    from scrm.sync.service.runs import cancel_run

    run_id = begin(entities=["customers"])
    step_until(run_id, "applying")
    with transaction():
        (held,) = parts.claim_parts(run_id, SyncPart.entity == "customers", 1)
    with transaction():
        cancel_run(run_id, "op")
    with transaction():
        assert parts.hold(held) is None
    assert finish(run_id).state == "cancelled"
    assert relations(committed) == {}
