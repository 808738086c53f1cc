"""Syncs in the API and as a command: begin, list, report, confirm, cancel; who may; what to do about failures."""

import re

import orjson
import pytest
from click.testing import CliRunner
from sqlalchemy import select, text

from scrm.cli.sync.command import sync as command
from scrm.kernel.clock import shifted
from scrm.staff.models import Staff
from scrm.sync import jobs
from tests.scrm.sync.conftest import LATER, finish, later_sync, relations, run_of, sync

RUNS = "/api/v1/sync-runs"


@pytest.fixture
def client(api_with, corp):
    return api_with("sync:read", "sync:write")


def test_a_run_is_begun_once_per_key_and_reported(client, corp, committed):
    body = {"entities": ["customers", "tags"], "dry_run": False}
    first = client.post(RUNS, json=body, headers={"Idempotency-Key": "k1"})
    again = client.post(RUNS, json=body, headers={"Idempotency-Key": "k1"})
    assert (first.status_code, again.json["id"]) == (201, first.json["id"])
    assert client.post(RUNS, json={}).status_code == 409
    finish(first.json["id"])
    report = client.get(f"{RUNS}/{first.json['id']}").json
    assert report["state"] == "done"
    assert report["entities"] == ["tags", "customers"]
    assert report["by"].startswith("apikey:")
    follows = report["counts"]["follows"]
    assert {name: follows[name] for name in ("seen", "new", "changed", "gone", "untouched")} == {
        "seen": 42, "new": 42, "changed": 0, "gone": 0, "untouched": 0,
    }  # fmt: skip
    assert report["failures"] == []
    assert report["progress"]["seconds"] > 0
    assert report["drift"] == {"since": None, "entities": {}}
    assert [item["id"] for item in client.get(RUNS).json["items"]] == [first.json["id"]]


def test_progress_is_told_while_it_works(client, corp, committed):
    import time

    run_id = client.post(RUNS, json={}).json["id"]
    assert jobs.turn(time.monotonic())
    report = client.get(f"{RUNS}/{run_id}").json
    assert report["state"] == "reading"
    assert report["progress"]["parts"] > 0
    assert report["progress"]["rows"] > 0
    finish(run_id)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"entities": ["moments"]}, "entities.0"),
        ({"repair_tags": "both"}, "repair_tags"),
        ({"only": []}, "only"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(client, body, field):
    answer = client.post(RUNS, json=body)
    assert answer.status_code == 422
    assert field in answer.json["fields"]


def test_permissions_and_data_scope(api_with, corp, committed):
    sync()
    staff = dict(committed.execute(select(Staff.userid, Staff.id)).all())
    corp.fail_members(["staff0001", "staff0002"], 60021)
    run = later_sync()
    assert api_with("sync:read").post(RUNS, json={}).status_code == 403
    limited = api_with("sync:read", "sync:write", staff_ids=[staff["staff0001"]])
    assert limited.post(RUNS, json={}).status_code == 403
    assert limited.post(f"{RUNS}/{run.id}/cancel").status_code == 403
    report = limited.get(f"{RUNS}/{run.id}").json
    assert [failure["key"] for failure in report["failures"]] == ["staff0001"]
    assert {tuple(row["samples"]) for row in report["counts"].values()} == {()}
    everybody = api_with("sync:read").get(f"{RUNS}/{run.id}").json
    assert [failure["key"] for failure in everybody["failures"]] == ["staff0001", "staff0002"]


def test_confirm_and_cancel(client, corp, committed):
    sync()
    for who, userid in sorted(relations(committed))[:12]:
        corp.delete_contact(userid, who)
    run = later_sync()
    assert client.get(f"{RUNS}/{run.id}").json["guard"]["follows"]["gone"] == 12
    confirmed = client.post(f"{RUNS}/{run.id}/confirm").json
    assert (confirmed["state"], confirmed["confirmed_by"][:7]) == ("applying", "apikey:")
    finish(run.id)
    assert client.post(f"{RUNS}/{run.id}/confirm").status_code == 409
    assert client.post(f"{RUNS}/{run.id}/cancel").status_code == 409
    assert client.post(f"{RUNS}/999/cancel").status_code == 404
    assert client.get(f"{RUNS}/999").status_code == 404


def test_drift_tells_what_events_should_have_told(client, corp, committed):
    sync()
    (who, userid), (other, member), *_ = sorted(relations(committed))
    corp.edit(userid, who, remark="neu")
    corp.delete_contact(member, other)
    run = later_sync()
    drift = client.get(f"{RUNS}/{run.id}").json["drift"]
    assert drift["since"] is not None
    follow = relations(committed)[who, userid][1]
    assert drift["entities"]["follows"]["changed"] == 1
    assert drift["entities"]["follows"]["fields"] == {"remark": 1}
    assert drift["entities"]["follows"]["samples"]["changed"] == [follow.id]
    assert drift["entities"]["follows"]["gone"] == 1


def test_what_is_read_for_the_first_time_is_no_drift(client, corp, committed):
    sync(entities=["staff"])
    run = later_sync()
    assert run.counts["kf_accounts"]["new"] == 1
    assert client.get(f"{RUNS}/{run.id}").json["drift"]["entities"] == {}
    committed.execute(text("DELETE FROM kf_servicers"))
    committed.execute(text("DELETE FROM kf_accounts"))
    committed.commit()
    again = later_sync()
    assert set(client.get(f"{RUNS}/{again.id}").json["drift"]["entities"]) >= {"kf_accounts"}


def test_the_name_of_a_customer_service_account_is_no_drift_because_wecom_never_tells_it(
    client, corp, committed
):
    sync()
    committed.execute(text("UPDATE kf_accounts SET name = NULL, updated_at = now() - interval '1 hour'"))
    committed.commit()  # as a callback of an account that nobody knew leaves it
    run = later_sync()
    assert run.counts["kf_accounts"]["changed"] == 1
    assert client.get(f"{RUNS}/{run.id}").json["drift"]["entities"] == {}


def test_an_account_that_was_given_back_unheard_is_drift(client, corp, committed):
    sync()
    committed.execute(
        text(
            "UPDATE kf_accounts SET removed_at = now(), granted_at = NULL, updated_at = now() - interval '1 hour'"
        )
    )
    committed.commit()
    run = later_sync()
    assert client.get(f"{RUNS}/{run.id}").json["drift"]["entities"]["kf_accounts"]["changed"] == 1


def test_a_new_name_of_a_customer_is_no_drift_because_wecom_never_tells_it(client, corp, committed):
    sync()
    with committed.begin():
        committed.execute(text("UPDATE customers SET name = 'old', updated_at = now() - interval '1 hour'"))
    run = later_sync()
    assert run.counts["customers"]["changed"] == 40
    assert client.get(f"{RUNS}/{run.id}").json["drift"]["entities"] == {}


@pytest.mark.parametrize(
    ("errcode", "zh", "page"),
    [
        (48002, "应用无权调用该接口", "客户与上下游 › 客户联系 › 可调用接口的应用"),
        (60020, "服务器 IP 不在可信列表", "应用管理 › 自建应用 › 企业可信IP"),
    ],
)
def test_a_sync_of_which_nothing_could_be_read_has_failed_and_says_what_to_do(
    client, corp, errcode, zh, page
):
    corp.fault("errcode", api="externalcontact/*", errcode=errcode, times=None)
    run = sync(entities=["customers", "tags"])
    assert run.state == "failed"
    failures = client.get(f"{RUNS}/{run.id}").json["failures"]
    assert {(f["entity"], f["errcode"], f["page"]) for f in failures} == {
        ("follow_users", errcode, page), ("tags", errcode, page),
    }  # fmt: skip
    assert all(f["zh"].startswith(zh) and page in f["zh"] for f in failures)


def read_json(done):
    """What the command printed, behind log lines (in a real process these go to stderr)."""
    return orjson.loads("{" + done.stdout.partition("\n{" if not done.stdout.startswith("{") else "{")[2])


class TestCommand:
    """`scrm sync`, with the command itself as worker."""

    @pytest.fixture
    def run(self, app, corp, committed, monkeypatch):
        monkeypatch.setattr("scrm.cli.sync.command._application", lambda: app)

        def run(*arguments):
            return CliRunner().invoke(command, arguments)

        return run

    def test_it_does_the_work_itself_where_no_worker_lives(self, run, committed):
        done = run()
        assert done.exit_code == 0
        assert "客户关系 follows" in done.output
        assert len(relations(committed)) == 42

    def test_json_is_the_report(self, run):
        done = run("--only", "staff,tags", "--json")
        report = read_json(done)
        assert (report["state"], sorted(report["counts"])) == (
            "done", ["departments", "follow_users", "members", "tags"],
        )  # fmt: skip

    def test_a_failure_ends_with_one_and_what_to_do(self, run, corp):
        corp.fail_members(["staff0002"], 60021)
        done = run()
        assert done.exit_code == 1
        assert "staff0002" in done.output
        assert "可见范围" in done.output

    def test_what_waits_is_shown_confirmed_and_listed(self, run, corp, committed):
        run()
        for who, userid in sorted(relations(committed))[:12]:
            corp.delete_contact(userid, who)
        with shifted(LATER):
            done = run()
            assert done.exit_code == 1
            [waiting] = re.findall(r"scrm sync confirm (\d+)", done.output)
            assert run("confirm", waiting).exit_code == 0
            assert run("watch", waiting).exit_code == 0
        assert run_of(int(waiting)).state == "done"
        assert "everything" in run("list").output
        assert read_json(run("report", waiting, "--json"))["confirmed_by"].startswith("cli:")

    def test_a_dry_run_says_so(self, run, committed):
        done = run("--dry-run")
        assert "试运行 dry run" in done.output
        assert relations(committed) == {}

    def test_unknown_entities_are_refused(self, run):
        done = run("--only", "moments")
        assert done.exit_code == 2
        assert "moments: there are staff" in done.output
