"""A dry run reads and compares, says what a real one would do, and writes nothing."""

from sqlalchemy import text

from tests.scrm.sync.conftest import counts, later_sync, relations, sync, versions


def change(corp, committed):
    keys = sorted(relations(committed))
    corp.edit(keys[0][1], keys[0][0], remark="neu", tags=[corp.state_ids("tag")[0]])
    for who, userid in keys[1:4]:
        corp.delete_contact(userid, who)
    corp.add(keys[0][1], count=2)
    chat_id = corp.state_ids("group")[0]
    corp.rename_group(chat_id, "新名")
    corp.delete_tag(corp.state_ids("tag")[-1])
    corp.create_staff("fresh01", "新同事")


def test_a_first_dry_run_counts_everything_and_leaves_nothing(corp, committed):
    before = versions(committed)
    run = sync(dry_run=True)
    assert run.state == "done"
    assert run.counts["follows"]["new"] == run.counts["follows"]["seen"] == 42
    assert run.counts["departments"]["new"] == 3
    assert versions(committed) == before
    assert committed.scalar(text("SELECT count(*) FROM sync_touched")) == 0


def test_it_counts_what_a_real_run_then_does(corp, committed):
    sync()
    change(corp, committed)
    before = versions(committed)
    dry = later_sync(dry_run=True)
    assert versions(committed) == before
    real = later_sync()
    assert counts(dry) == counts(real)
    assert counts(dry)["follows"] == (2, 1, 3)
    assert counts(dry)["tags"] == (0, 0, 1)


def test_it_never_waits_for_a_person(corp, committed):
    sync()
    for who, userid in sorted(relations(committed))[:20]:
        corp.delete_contact(userid, who)
    run = later_sync(dry_run=True)
    assert (run.state, run.guard["follows"]["gone"]) == ("done", 20)
    assert committed.scalar(text("SELECT count(*) FROM alerts")) == 0
