"""Many failed effects at once: chosen, looked at first, sent again in few statements."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session as db_session
from scrm.kernel.db import transaction
from scrm.kernel.errors import Conflict, InvalidInput
from scrm.wecom.effects import retry
from scrm.wecom.models import Effect, EffectState, Parked
from scrm.wecom.retrying import Selection, look, retry_all
from tests.scrm.wecom.conftest import planned

HOUR = timedelta(hours=1)


def failed(kind: str = "welcome", errcode: int | None = None, subject: str | None = None, **values) -> int:
    made = planned(kind, {}, subject=subject)
    now = utcnow()
    values = {"state": EffectState.FAILED, "finished_at": now, "errcode": errcode, "attempts": 3, **values}
    return put(made, **values)


def put(made: int, **values) -> int:
    with transaction():
        db_session().execute(update(Effect).where(Effect.id == made).values(**values))
    return made


def retried(**chosen) -> list[int]:
    with transaction():
        return retry_all(Selection(**chosen)).ids


def state(effect_id: int) -> tuple:
    columns = (Effect.state, Effect.attempts, Effect.errcode, Effect.parked)
    return tuple(db_session().execute(select(*columns).where(Effect.id == effect_id)).one())


def test_everything_that_fits_is_sent_again_from_the_start(session):
    trusted_ip = [failed(kind, 60020, parked=Parked.EXHAUSTED) for kind in ("welcome", "staff_message")]
    other = failed("welcome", 48002)
    assert retried(errcode=60020) == trusted_ip
    assert {state(made) for made in trusted_ip} == {(EffectState.PLANNED, 0, None, None)}
    assert state(other)[0] == EffectState.FAILED


def test_all_that_is_given_must_fit(session):
    made = failed("welcome", 60020, app="main")
    old = failed("welcome", 60020, finished_at=utcnow() - 2 * HOUR)
    failed("staff_message", 60020)
    chosen = {"kind": "welcome", "errcode": 60020, "app": "main", "since": utcnow() - HOUR}
    assert look(Selection(**chosen)).by_kind == {"welcome": 1}
    assert retried(**chosen) == [made]
    assert retried(until=utcnow() - HOUR) == [old]


def test_a_look_changes_nothing_and_counts_what_cannot_be_sent(session):
    made = failed("welcome", -1)
    failed("welcome", -1, deadline_at=utcnow() - HOUR)
    seen = look(Selection(errcode=-1))
    assert (seen.ids, seen.by_kind, seen.too_late, seen.more) == ([], {"welcome": 1}, 1, False)
    assert state(made)[0] == EffectState.FAILED
    assert retried(errcode=-1) == [made]


def test_an_old_value_never_overwrites_a_newer_one(session):
    old = failed("remark", 60020, subject="follow:1")
    put(planned("remark", {}, subject="follow:1"), state=EffectState.CONFIRMED, finished_at=utcnow())
    alone = failed("remark", 60020, subject="follow:2")
    seen = look(Selection(errcode=60020))
    assert (seen.by_kind, seen.superseded) == ({"remark": 1}, 1)
    assert retried(errcode=60020) == [alone]
    assert retried(ids=[old]) == [old]  # whoever names it means it


def test_nothing_is_made_twice_because_an_older_try_is_sent_again(session):
    """A code that failed was planned again by itself: two contact ways would share its state, one of them nobody's."""
    older = failed("add_contact_way", 60020, subject="channel_code:1")
    newer = failed("add_contact_way", 60020, subject="channel_code:1")
    made = failed("add_join_way", 60020, subject="group_code:1")
    put(
        planned("add_join_way", {}, subject="group_code:1"), state=EffectState.CONFIRMED, finished_at=utcnow()
    )
    assert retried(ids=[older, made]) == []
    with pytest.raises(Conflict, match="planned another"):
        retry(older)
    assert look(Selection(errcode=60020)).superseded == 2
    assert retried(errcode=60020) == [newer]


def test_a_transfer_that_failed_is_left_to_its_plan_which_may_have_asked_somebody_else(session):
    made = failed("transfer_customer", -1, subject="transfer_call:1", parked=Parked.EXHAUSTED)
    assert retried(errcode=-1) == retried(ids=[made]) == []
    with pytest.raises(Conflict, match="by itself"):
        retry(made)


def test_only_failed_and_untold_ones_are_taken(session):
    for what in (
        EffectState.PLANNED,
        EffectState.SENT,
        EffectState.UNKNOWN,
        EffectState.CONFIRMED,
        EffectState.EXPIRED,
    ):
        put(planned("welcome", {}), state=what)
    assert retried(kind="welcome") == []


def test_an_untold_one_is_told_and_not_sent(session):
    made = failed("welcome", state=EffectState.CONFIRMED, parked=Parked.UNTOLD, deadline_at=utcnow() - HOUR)
    assert retried(parked=Parked.UNTOLD) == [made]
    row = db_session().get(Effect, made, populate_existing=True)
    assert (row.state, row.attempts, row.parked) == (EffectState.CONFIRMED, 3, None)
    assert row.tell_at is not None


def test_what_a_worker_holds_is_left_alone(session):
    failed("welcome", -1, lease_until=utcnow() + HOUR)
    assert retried(errcode=-1) == []


def test_something_must_say_which(session):
    with pytest.raises(InvalidInput, match="which effects"):
        look(Selection())


def test_many_are_taken_a_thousand_at_a_time(session):
    row = {
        "kind": "welcome",
        "app": "main",
        "queue": "urgent",
        "priority": 0,
        "payload": {},
        "state": "failed",
    }
    later = utcnow() + HOUR
    db_session().execute(
        Effect.__table__.insert(),
        [{**row, "key": f"k{n}", "deadline_at": later, "finished_at": utcnow()} for n in range(1500)],
    )
    with transaction():
        first = retry_all(Selection(kind="welcome"))
        second = retry_all(Selection(kind="welcome"))
    assert (len(first.ids), first.more, len(second.ids), second.more) == (1000, True, 500, False)


def test_the_api_looks_first_and_then_does(api, api_with):
    made = failed("welcome", 60020)
    look_only = api.post("/api/v1/effects/retry", json={"errcode": 60020, "dry_run": True})
    assert (look_only.json["by_kind"], look_only.json["ids"]) == ({"welcome": 1}, [])
    done = api.post("/api/v1/effects/retry", json={"errcode": 60020})
    assert done.json == {
        "ids": [made],
        "by_kind": {"welcome": 1},
        "too_late": 0,
        "superseded": 0,
        "more": False,
    }
    assert api.post("/api/v1/effects/retry", json={}).status_code == 422
    assert api.post("/api/v1/effects/retry", json={"colour": 1}).status_code == 422
    assert api_with("effects:read").post("/api/v1/effects/retry", json={"errcode": 1}).status_code == 403
