"""What is missing: looked at twice, never concluded from a failure, and asked about when it is much."""

import pytest
from sqlalchemy import select, text

from scrm.alerts.models import AlertEntry
from scrm.kernel.clock import shifted
from scrm.kernel.db import transaction
from scrm.kernel.errors import Conflict
from scrm.kernel.permissions import Scope
from scrm.sync.queries import run_report
from scrm.sync.service.runs import Wish, cancel_run, confirm_run, start_run
from tests.scrm.sync.conftest import (
    LATER,
    begin,
    counts,
    finish,
    later_sync,
    living,
    relations,
    run_of,
    step_until,
    sync,
    truth,
)

PEOPLE = {"entities": ["staff", "tags", "customers"]}
BATCH, LIST = "externalcontact/batch/get_by_user", "externalcontact/list"


def leave(corp, session, number, userid=None):
    """So many relations end and no callback tells it."""
    keys = [key for key in sorted(relations(session)) if userid in {None, key[1]}][:number]
    for who, member in keys:
        corp.delete_contact(member, who)
    return keys


@pytest.fixture
def synced(corp, committed):
    """The company, synced once."""
    sync(**PEOPLE)
    return corp


def test_relations_that_ended_unheard_end_here_and_only_these(synced, committed):
    gone = leave(synced, committed, 3)
    run = later_sync(**PEOPLE)
    assert run.state == "done"
    after = relations(committed)
    assert {key for key, (_, f) in after.items() if f.status == "deleted_by_staff"} == set(gone)
    assert living(committed) == truth(synced)
    assert counts(run)["follows"] == (0, 0, 3)


def test_tags_of_ended_relations_are_gone_with_their_reasons(synced, committed):
    leave(synced, committed, 8)
    later_sync(**PEOPLE)
    left = committed.scalar(
        text("""
        SELECT count(*) FROM tag_assignments a JOIN follows f ON f.id = a.follow_id
        LEFT JOIN tag_sources s ON s.assignment_id = a.id
        WHERE f.status = 'deleted_by_staff' AND (a.state <> 'removed' OR s.source IS NOT NULL)
        """)
    )
    assert left == 0


def test_a_failing_member_keeps_every_customer_and_stands_in_the_report(synced, committed):
    failing, *others = sorted(synced.state_ids("member"))
    leave(synced, committed, 2, failing)
    gone = leave(synced, committed, 2, others[0])
    synced.fail_members([failing], 60021)
    run = later_sync(**PEOPLE)
    after = relations(committed)
    assert {key for key, (_, f) in after.items() if f.status == "deleted_by_staff"} == set(gone)
    failures = run_report(run.id, Scope.all())["failures"]
    assert [(one["entity"], one["key"], one["errcode"]) for one in failures] == [
        ("customers", failing, 60021)
    ]
    assert "可见范围" in failures[0]["zh"]
    assert "visible range" in failures[0]["en"]
    assert failures[0]["page"] == "应用管理 › 自建应用 › 可见范围"
    assert run.state == "done"


def test_a_member_without_the_feature_any_more_keeps_their_relations(synced, committed):
    leaving = min(synced.state_ids("member"))
    synced.staff_behaviour([leaving], contact_feature=False)
    later_sync(**PEOPLE)
    mine = {f.status for (_, userid), (_, f) in relations(committed).items() if userid == leaving}
    assert mine == {"active"}


def test_a_page_that_fails_for_good_ends_nothing(synced, committed):
    leave(synced, committed, 2)
    synced.fault("errcode", api=BATCH, errcode=60011, times=None)
    run = later_sync(**PEOPLE)
    assert {f.status for _, f in relations(committed).values()} == {"active"}
    assert {one["errcode"] for one in run_report(run.id, Scope.all())["failures"]} == {60011}
    assert run.counts.get("follows", {}).get("gone", 0) == 0


def test_a_later_page_that_fails_ends_nothing_of_the_first_pages_either(synced, committed):
    userid = min(synced.state_ids("member"))
    synced.add(userid, count=230)
    sync(**PEOPLE)
    leave(synced, committed, 2, userid)
    with shifted(LATER):
        run_id = begin(entities=["customers"])
        while not committed.scalar(
            text("SELECT count(*) FROM sync_parts WHERE entity = 'customers' AND pages > 0")
        ):
            committed.rollback()
            step_until_pages(run_id)
        committed.rollback()
        synced.fault("errcode", api=BATCH, errcode=60011, times=None)
        finish(run_id)
    mine = {f.status for (_, member), (_, f) in relations(committed).items() if member == userid}
    assert mine == {"active"}


def step_until_pages(run_id):
    import time

    from scrm.sync import jobs

    assert jobs.turn(time.monotonic())


def test_a_cursor_that_wecom_forgot_begins_the_part_anew_once(synced, committed):
    userid = min(synced.state_ids("member"))
    synced.add(userid, count=150)
    with shifted(LATER):
        run_id = begin(entities=["customers"])
        while not committed.scalar(
            text("SELECT count(*) FROM sync_parts WHERE entity = 'customers' AND pages > 0")
        ):
            committed.rollback()
            step_until_pages(run_id)
        committed.rollback()
        synced.fault("errcode", api=BATCH, errcode=50100, times=1)
        run = finish(run_id)
    assert run.state == "done"
    assert living(committed) == truth(synced)


def test_what_passes_by_itself_is_tried_again_until_it_is_read(synced, committed):
    gone = leave(synced, committed, 2)
    synced.fault("errcode", api=BATCH, errcode=-1, times=1)
    with shifted(LATER):
        run_id = begin(entities=["customers"])
        finish(run_id)
        assert run_of(run_id).state == "reading"  # waits for its next try
    with shifted(LATER + LATER):
        finish(run_id)
    assert {key for key, (_, f) in relations(committed).items() if f.status == "deleted_by_staff"} == set(
        gone
    )


def test_a_relation_the_pages_missed_is_found_by_the_second_look_and_fetched(synced, committed):
    """Pages shift while somebody is deleted; the member's whole list, asked at one moment, knows better."""
    (who, userid), *_ = sorted(relations(committed))
    with shifted(LATER):
        run_id = begin(entities=["customers"])
        step_until(run_id, "comparing")
        with transaction() as session:
            session.execute(text("UPDATE sync_parts SET rows = rows - 1 WHERE entity = 'customers'"))
            session.execute(
                text("DELETE FROM sync_follows WHERE external_userid = :who AND userid = :userid"),
                {"who": who, "userid": userid},
            )
        finish(run_id)
    customer, follow = relations(committed)[who, userid]
    assert follow.status == "active"
    assert customer.refresh_wanted_at is not None
    assert {c["params"]["userid"] for c in synced.log(LIST)} == {userid}


def test_a_member_whose_second_look_fails_keeps_their_customers(synced, committed):
    leave(synced, committed, 3)
    synced.fault("errcode", api=LIST, errcode=60020, times=None)
    run = later_sync(**PEOPLE)
    assert {f.status for _, f in relations(committed).values()} == {"active"}
    assert {(f["entity"], f["errcode"]) for f in run_report(run.id, Scope.all())["failures"]} == {
        ("customer_ids", 60020)
    }


def test_without_anything_missing_nobody_is_asked_twice(synced, committed):
    later_sync(**PEOPLE)
    assert synced.log(LIST) == []


def test_staged_rows_lost_in_a_crash_of_the_database_are_read_again(synced, committed):
    """UNLOGGED tables begin empty after a crash of PostgreSQL; that must not look as if everybody had left."""
    with shifted(LATER):
        run_id = begin(entities=["customers"])
        while run_of(run_id).state == "reading" and not committed.scalar(
            text("SELECT count(*) FROM sync_parts WHERE entity = 'customers' AND state = 'read'")
        ):
            committed.rollback()
            step_until_pages(run_id)
        committed.rollback()
        with transaction() as session:
            session.execute(text("TRUNCATE sync_follows, sync_items, sync_missing"))
        run = finish(run_id)
    assert run.state == "done"
    assert living(committed) == truth(synced)
    assert counts(run) == {}


class TestShrinkGuard:
    """More than 5 % of the relations, and more than ten, would vanish."""

    @pytest.fixture
    def stopped(self, synced, committed):
        """A run that waits for a person: 12 of 42 relations are gone, one is new."""
        with transaction() as session:
            session.execute(text("UPDATE staff SET name = 'Op' WHERE userid = 'staff0001'"))
        gone = leave(synced, committed, 12)
        kept = min(set(relations(committed)) - set(gone))
        synced.edit(kept[1], kept[0], remark="neu")
        run = later_sync(**PEOPLE)
        return run, gone, kept

    def test_the_run_stops_and_asks_after_writing_what_is_new_and_changed(self, stopped, committed):
        run, _, kept = stopped
        assert run.state == "waiting_for_person"
        assert run.guard["follows"]["gone"] == 12
        assert run.guard["follows"]["share"] == round(12 / 42, 4)
        after = relations(committed)
        assert {f.status for _, f in after.values()} == {"active"}
        assert after[kept][1].remark == "neu"

    def test_operators_are_told_once(self, stopped, committed):
        run, _, _ = stopped
        finish(run.id)
        (entry,) = committed.scalars(select(AlertEntry).where(AlertEntry.kind == "sync_stopped"))
        assert f"scrm sync confirm {run.id}" in entry.zh
        assert "12/42" in entry.zh
        assert "12 of 42 relations" in entry.en

    @pytest.mark.parametrize(
        "less", [{"entities": ["tags"]}, {**PEOPLE, "members": ["staff0001"]}, {**PEOPLE, "dry_run": True}]
    )
    def test_a_run_that_reads_less_leaves_it_to_the_person(self, stopped, committed, less):
        run, _, _ = stopped
        with pytest.raises(Conflict, match=f"sync run {run.id} waits for a person"), transaction():
            start_run(Wish(by="op", **less))
        assert run_of(run.id).state == "waiting_for_person"

    def test_a_run_that_reads_as_much_takes_its_place(self, stopped, committed):
        run, _, _ = stopped
        with transaction():
            newer = start_run(Wish(by="clock"))
        assert (run_of(run.id).state, newer.state) == ("cancelled", "reading")

    def test_a_person_confirms_and_they_end(self, stopped, committed, corp):
        run, gone, _ = stopped
        with transaction():
            confirm_run(run.id, "op")
        done = finish(run.id)
        assert (done.state, done.confirmed_by) == ("done", "op")
        assert {key for key, (_, f) in relations(committed).items() if f.status != "active"} == set(gone)
        assert living(committed) == truth(corp)
        assert done.counts["follows"]["gone"] == 12

    def test_a_person_cancels_and_they_stay(self, stopped, committed):
        run, _, _ = stopped
        with transaction():
            cancel_run(run.id, "op")
        done = finish(run.id)
        assert (done.state, done.error) == ("cancelled", "cancelled by op")
        assert {f.status for _, f in relations(committed).values()} == {"active"}
        assert done.counts["follows"]["changed"] == 1
        with pytest.raises(Conflict), transaction():
            confirm_run(run.id, "op")

    def test_a_newer_run_takes_its_place_because_what_it_read_is_old(self, stopped, committed):
        run, _, _ = stopped
        newer = later_sync(**PEOPLE)
        assert run_of(run.id).state == "cancelled"
        assert newer.state == "waiting_for_person"

    def test_a_dry_run_does_not_take_its_place_and_says_what_to_do(self, stopped, committed):
        run, gone, _ = stopped
        with pytest.raises(Conflict, match=f"scrm sync confirm {run.id}"):
            later_sync(**PEOPLE, dry_run=True)
        assert run_of(run.id).state == "waiting_for_person"
        with transaction():
            confirm_run(run.id, "op")
        assert finish(run.id).state == "done", "what it read is still there"
        assert {key for key, (_, f) in relations(committed).items() if f.status != "active"} == set(gone)
        assert later_sync(**PEOPLE, dry_run=True).state == "done"

    def test_who_came_back_before_the_confirmation_stays(self, stopped, committed, corp):
        run, gone, _ = stopped
        back = gone[0]
        corp.add(back[1], external_userid=back[0])
        with transaction() as session:
            session.execute(
                text(
                    "UPDATE follows SET added_at = now(), updated_at = now() + interval '2 minutes' WHERE id = :id"
                ),
                {"id": relations(committed)[back][1].id},
            )
            confirm_run(run.id, "op")
        finish(run.id)
        after = relations(committed)
        assert after[back][1].status == "active"
        assert {after[key][1].status for key in gone[1:]} == {"deleted_by_staff"}


def test_few_may_vanish_without_asking_even_if_they_are_a_large_share(synced, committed):
    leave(synced, committed, 10)
    assert later_sync(**PEOPLE).state == "done"


def test_vanishing_tags_members_of_groups_and_feature_are_guarded_too(corp, committed, app, monkeypatch):
    corp.create_tags("很多", [f"标签{n}" for n in range(30)])
    sync()
    for tag in corp.state_ids("tag")[10:]:
        corp.delete_tag(tag)
    for chat_id in corp.state_ids("group"):
        people = [who for who in corp.state("group", chat_id)["members"] if who.startswith("wm")]
        corp.leave_group(chat_id, people)
    for who, userid in relations(committed):
        corp.edit(userid, who, tags=[])
    run = later_sync()
    assert run.state == "waiting_for_person"
    assert set(run.guard) == {"tags", "customer_tags"}  # ten stays are few
    living_tags = committed.scalar(text("SELECT count(*) FROM tags WHERE deleted_at IS NULL"))
    assert living_tags == 38
    with transaction():
        confirm_run(run.id, "op")
    assert finish(run.id).state == "done"
    assert committed.scalar(text("SELECT count(*) FROM tags WHERE deleted_at IS NULL")) == 10
    assert committed.scalar(text("SELECT count(*) FROM tag_assignments WHERE state = 'active'")) == 0


def test_stays_of_groups_are_guarded(corp, committed):
    owner = corp.state_ids("member")[0]
    people = [p["external_userid"] for p in corp.add(owner, count=20)]
    chat_id = corp.create_group(owner, people)["chat_id"]
    sync()
    corp.leave_group(chat_id, people)
    run = later_sync()
    present = text("SELECT count(*) FROM group_stays WHERE left_at IS NULL AND member_type = 2")
    before = committed.scalar(present)
    committed.rollback()
    assert (run.state, set(run.guard)) == ("waiting_for_person", {"group_members"})
    with transaction():
        confirm_run(run.id, "op")
    finish(run.id)
    assert committed.scalar(present) == before - 20
