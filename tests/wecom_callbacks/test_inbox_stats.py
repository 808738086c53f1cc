"""Statistics of callbacks, reasons of ignored ones, and notices of things to fetch."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from scrm.kernel import events
from scrm.kernel.clock import utcnow
from scrm.staff.events import StaffListDoubted
from tests.wecom_callbacks.stories import body
from tests.wecom_callbacks.test_inbox_api import put
from wecom_callbacks import jobs
from wecom_callbacks.models import CallbackNotice, InboxRow, InboxState
from wecom_callbacks.queries import notices
from wecom_callbacks.service import Notice, note, purge_notices


def moment(seconds):
    return utcnow() - timedelta(seconds=seconds)


def test_callbacks_are_counted_by_event_with_lag_and_reasons(session, api):
    done = {"event": "e", "change_type": "c", "received_at": moment(60)}
    put(3, **done, event_at=moment(62), finished_at=moment(59))
    put(1, **done, event_at=moment(62), finished_at=moment(50), error="x")
    put(2, **done, state=InboxState.IGNORED, reason="not_used", finished_at=moment(59))
    put(1, event="rare", state=InboxState.DEAD)
    put(1, event="old", received_at=moment(7200))
    put(1, state=InboxState.RECEIVED)
    answer = api.get("/api/v1/inbox/stats?hours=1").get_json()
    by_event = {item["event"]: item for item in answer["items"]}
    assert set(by_event) == {"e", "rare", None}
    counted = by_event["e"]
    assert (counted["callbacks"], counted["done"], counted["ignored"]) == (6, 4, 2)
    assert counted["reasons"] == {"not_used": 2}
    assert 0.9 < counted["lag_p50"] < 1.5
    assert 9 < counted["lag_p99"] < 10.5
    assert 1.5 < counted["delay_p50"] < 2.5
    assert (by_event["rare"]["dead"], by_event[None]["waiting"]) == (1, 1)
    assert api.get("/api/v1/inbox/stats?hours=0").status_code == 422
    assert api.get("/api/v1/inbox/stats?days=1").status_code == 422


def test_an_ignored_callback_says_why_in_the_list(committed, sender, api_with):
    sender.post(body("change_contact.update_tag", 1_700_000_000))
    sender.post("<xml><MsgType>event</MsgType><Event>brand_new</Event></xml>")
    jobs.drain_events()
    client = api_with()
    items = client.get("/api/v1/inbox?state=ignored").get_json()["items"]
    assert [item["reason"] for item in items] == ["unknown_event", "member_tag"]
    assert all(" / " in item["reason_text"] for item in items)
    chosen = client.get("/api/v1/inbox?reason=member_tag").get_json()["items"]
    assert [item["event"] for item in chosen] == ["change_contact"]
    assert client.get("/api/v1/inbox?reason=because").status_code == 422


def test_a_replayed_callback_forgets_why_it_was_ignored(session):
    put(1, state=InboxState.IGNORED, reason="unknown_event", event="e")
    jobs.replay_and_wake(jobs.service.Selection(event="e"))
    assert session.scalars(select(InboxRow.reason)).one() is None


def test_the_newest_notice_of_an_app_stays(session, api):
    new, old = moment(1), moment(100)
    for at in (old, new, old):
        note(
            [
                Notice("msgaudit_notify", "main", at),
                Notice("batch_job_result", "main", old, "J1", {"ErrCode": "0"}),
            ]
        )
    assert [(n.event, n.told_at) for n in notices()] == [("msgaudit_notify", new), ("batch_job_result", old)]
    shown = api.get("/api/v1/inbox/notices?event=batch_job_result").get_json()["items"]
    assert [(n["subject"], n["content"]) for n in shown] == [("J1", {"ErrCode": "0"})]
    assert purge_notices(moment(50)) == 1
    assert session.scalars(select(CallbackNotice.event)).all() == ["msgaudit_notify"]


@pytest.fixture
def heard():
    seen = []
    events.subscribe(StaffListDoubted)(seen.extend)
    yield seen
    events._subscribers[StaffListDoubted].remove(seen.extend)


@pytest.mark.parametrize(
    ("job_type", "errcode", "told"), [("sync_user", 0, 1), ("export_user", 0, 0), ("sync_user", 301, 0)]
)
def test_an_import_of_members_has_everybody_read_again(session, heard, job_type, errcode, told):
    xml = body("batch_job_result", 1_700_000_000).replace("sync_user", job_type)
    xml = xml.replace("<ErrCode>0<", f"<ErrCode>{errcode}<")
    put(1, body=xml, state=InboxState.RECEIVED)
    jobs.drain_events()
    assert len(heard) == told
    assert [n.subject for n in notices("batch_job_result", "main")] == ["J1"]
