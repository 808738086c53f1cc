"""A full sync: ours becomes what WeCom shows, and a second one writes nothing."""

from tests.scrm.sync.conftest import sync, versions


def test_a_first_sync_brings_everything(corp, committed):
    run = sync()
    assert run.state == "done"
    assert run.counts["follows"]["new"] == run.counts["follows"]["seen"] >= 40


def test_a_second_sync_with_nothing_changed_writes_no_row(corp, committed):
    sync()
    before = versions(committed)
    run = sync()
    after = versions(committed)
    assert before == after
    assert {
        name: (row["new"], row["changed"], row["gone"]) for name, row in run.counts.items()
    } == dict.fromkeys(run.counts, (0, 0, 0))
