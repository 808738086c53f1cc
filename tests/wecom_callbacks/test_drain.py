"""Working through the inbox: grouping, fencing, poison, leases that ran out, replay."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from scrm.kernel import clock
from scrm.kernel.clock import utcnow
from scrm.kernel.db import db, transaction
from scrm.kernel.db import session as current_session
from scrm.kernel.errors import InvalidInput
from scrm.kernel.models import ScheduleRun
from tests.wecom_callbacks.conftest import xml_of
from wecom_callbacks import drain, jobs, registry, service
from wecom_callbacks.models import InboxRow, InboxState, Lane
from wecom_callbacks.queries import inbox_due
from wecom_callbacks.registry import handles
from wecom_callbacks.service import Selection

CREATED = datetime.fromtimestamp(1700000000, UTC)


@pytest.fixture
def handling():
    """Register handlers for the length of a test."""
    before = dict(registry._handlers)
    yield handles
    registry._handlers.clear()
    registry._handlers.update(before)


def put(*bodies, lane=Lane.EVENTS, **values):
    """Store rows as the intake would; returns their ids."""
    with transaction():
        made = [
            InboxRow(**{
                "digest": hashlib.sha256(body.encode()).digest(), "app": "main", "lane": lane, "body": body,
                "received_at": utcnow(), **values,
            })
            for body in bodies
        ]  # fmt: skip
        current_session().add_all(made)
    return [row.id for row in made]


def numbered(count, event="t_event"):
    return [xml_of(event, f"<ChangeType>c</ChangeType><N>{n}</N>") for n in range(count)]


def rows():
    return (
        current_session()
        .scalars(select(InboxRow).order_by(InboxRow.id).execution_options(populate_existing=True))
        .all()
    )


def states():
    return [row.state.value for row in rows()]


def work_all(lane=Lane.EVENTS):
    while drain.work_batch(lane):
        pass


def later(**delta):
    return clock.shifted(timedelta(**delta))


def test_a_batch_goes_to_each_handler_once_and_is_done(session, handling):
    seen = []

    @handling("t_event", "c")
    def first(batch):
        seen.append([c.fields["N"] for c in batch])

    put(*numbered(3))
    work_all()
    assert seen == [["0", "1", "2"]]
    row = rows()[0]
    assert (row.state, row.event, row.change_type, row.event_at) == (InboxState.DONE, "t_event", "c", CREATED)
    assert row.finished_at is not None
    assert row.lease_token is None


def test_a_change_type_has_its_own_handler_and_the_rest_goes_to_the_event(session, handling):
    seen = []
    handling("t_event", "c")(lambda batch: seen.append("c"))
    handling("t_event")(lambda batch: seen.append("rest"))
    put(*numbered(1), xml_of("t_event", "<ChangeType>d</ChangeType>"), xml_of("t_event"))
    work_all()
    assert sorted(seen) == ["c", "rest"]


def test_two_handlers_of_one_kind_are_refused(handling):
    handling("t_event")(lambda batch: None)
    with pytest.raises(ValueError, match="already handled"):
        handling("t_event")(lambda batch: None)


def test_a_kind_nobody_handles_is_ignored(session):
    put(xml_of("never_heard_of"), "<xml><MsgType>hologram</MsgType></xml>", "<xml><A>1</A></xml>")
    work_all()
    assert states() == ["ignored"] * 3
    assert [row.event for row in rows()] == ["never_heard_of", "message.hologram", "message.unknown"]
    assert rows()[1].event_at == rows()[1].received_at


def test_lanes_do_not_touch_each_other(session, handling):
    handling("t_event")(lambda batch: None)
    put(*numbered(1), lane=Lane.URGENT)
    put(xml_of("t_event"))
    jobs.drain_events()
    assert states() == ["received", "done"]
    jobs.drain_urgent()
    assert states() == ["done", "done"]


def poisoned(handling, bad):
    handled = []

    @handling("t_event")
    def handler(batch):
        if any(c.fields["N"] in bad for c in batch):
            raise ZeroDivisionError("the customer's own words")
        handled.extend(c.fields["N"] for c in batch)

    return handled


def test_a_poison_event_is_parked_as_dead_while_the_others_go_on(session, handling, settings):
    handled = poisoned(handling, {"3"})
    put(*numbered(8))
    work_all()
    assert handled == ["0", "1", "2", "4", "5", "6", "7"]
    assert states() == ["done"] * 3 + ["failed"] + ["done"] * 4
    for attempt in range(2, settings.inbox.max_attempts + 1):
        work_all()
        assert rows()[3].attempts == attempt - 1, "not before its time"
        with later(hours=attempt):
            work_all()
        assert rows()[3].attempts == attempt
    dead = rows()[3]
    assert dead.state is InboxState.DEAD
    assert dead.error == "ZeroDivisionError: the customer's own words"
    with later(days=30):
        assert not inbox_due(Lane.EVENTS)
    assert len(handled) == 7


def test_a_failed_row_waits_longer_each_time(session, handling):
    assert [service.backoff(n).total_seconds() for n in (1, 2, 3, 4, 9)] == [2, 10, 60, 300, 300]


def test_a_failure_leaves_no_words_of_customers_in_the_log(session, handling, capfd):
    poisoned(handling, {"0"})
    put(*numbered(1))
    work_all()
    logged = capfd.readouterr()
    assert "ZeroDivisionError" in logged.out + logged.err
    assert "own words" not in logged.out + logged.err


def test_everything_a_failing_handler_wrote_is_undone(session, handling):
    @handling("t_event")
    def half(batch):
        current_session().add(ScheduleRun(name="trace", woken_at=utcnow()))
        current_session().flush()
        raise ZeroDivisionError

    put(*numbered(2))
    work_all()
    assert current_session().scalars(select(ScheduleRun)).all() == []
    assert states() == ["failed", "failed"]


def test_a_worker_that_was_overtaken_leaves_nothing_behind(committed, handling):
    """SIGSTOP past the lease, another worker takes over, SIGCONT: the first one's work is rolled back."""
    runs = []

    @handling("t_event")
    def slow(batch):
        runs.append(len(batch))
        current_session().add(ScheduleRun(name=f"effect {len(runs)}", woken_at=utcnow()))
        if len(runs) == 1:
            expire_leases()
            other = db.session.session_factory()
            try:
                _overtake(other)
            finally:
                other.close()

    put(*numbered(4))
    drain.work_batch(Lane.EVENTS)
    assert states() == ["processing"] * 4
    assert current_session().scalars(select(ScheduleRun)).all() == []
    expire_leases()
    work_all()
    assert states() == ["done"] * 4
    assert [run.name for run in current_session().scalars(select(ScheduleRun))] == ["effect 2"]


def _overtake(other):
    """What another worker's claim does to the rows."""
    other.execute(
        update(InboxRow).values(
            lease_token="00000000-0000-0000-0000-000000000001", lease_until=utcnow() + timedelta(seconds=60)
        )
    )
    other.commit()


def expire_leases():
    with db.engine.begin() as connection:
        connection.execute(update(InboxRow).values(lease_until=utcnow() - timedelta(seconds=1)))


def test_rows_of_a_worker_that_died_are_taken_again_after_their_lease(session, handling):
    handling("t_event")(lambda batch: None)
    put(*numbered(3))
    with transaction():
        service.claim_batch(Lane.EVENTS)  # and the worker is gone
    assert drain.work_batch(Lane.EVENTS) == 0
    assert not inbox_due(Lane.EVENTS)
    with later(seconds=61):
        assert inbox_due(Lane.EVENTS)
        work_all()
    assert states() == ["done"] * 3


def test_rows_that_were_there_when_workers_died_twice_are_tried_alone(session, handling):
    sizes = []
    handling("t_event")(lambda batch: sizes.append(len(batch)))
    put(*numbered(3), state=InboxState.PROCESSING, attempts=2, lease_until=utcnow() - timedelta(seconds=1))
    put(xml_of("t_event"))
    work_all()
    assert sizes == [1, 1, 1, 1]
    assert states() == ["done"] * 4


def test_a_row_that_kills_every_worker_ends_as_dead_unhandled(session, handling, settings):
    handling("t_event")(lambda batch: pytest.fail("must not be tried again"))
    put(
        *numbered(1), state=InboxState.PROCESSING, attempts=settings.inbox.max_attempts,
        lease_until=utcnow() - timedelta(seconds=1),
    )  # fmt: skip
    work_all()
    assert states() == ["dead"]
    assert rows()[0].error == "its worker ended 5 times while handling it"


def test_what_the_lease_has_no_time_for_is_given_back(session, handling):
    taken = []

    @handling("t_event", "c")
    def long(batch):
        taken.append("long")
        clock._shift += timedelta(seconds=50)

    handling("t_event")(lambda batch: taken.append("rest"))
    put(*numbered(1), xml_of("t_event"))
    with later(seconds=0):
        drain.work_batch(Lane.EVENTS)
        assert taken == ["long"]
        assert states() == ["done", "received"]
        assert rows()[1].attempts == 0
        work_all()
    assert taken == ["long", "rest"]


def test_a_body_that_is_no_longer_readable_fails_alone(session, handling):
    handling("t_event")(lambda batch: None)
    put("<xml>" + "<a>" * 30 + "</a>" * 30 + "</xml>", *numbered(1))
    work_all()
    assert states() == ["failed", "done"]


def replayed(**chosen):
    with transaction():
        return service.replay(Selection(**chosen)).ids


def test_replay_takes_rows_by_id_kind_time_and_state(session, handling):
    old = put(*numbered(2), received_at=utcnow() - timedelta(days=2), state=InboxState.DONE, event="t_event")
    dead = put(xml_of("o"), state=InboxState.DEAD, event="o", change_type="x", attempts=5, error="why")
    assert replayed(ids=[old[0]]) == [old[0]]
    assert replayed(event="o", change_type="y") == []
    assert replayed(event="o", change_type="x", state=InboxState.DONE) == []
    assert replayed(since=utcnow() - timedelta(days=1)) == dead
    assert replayed(until=utcnow() - timedelta(days=1)) == [old[1]], "the other one is waiting already"
    row = rows()[2]
    assert (row.state, row.attempts, row.error) == (InboxState.RECEIVED, 0, None)


def test_handlers_see_that_a_callback_is_replayed(session, handling):
    seen = []
    handling("t_event")(lambda batch: seen.extend(c.replayed for c in batch))
    ids = put(*numbered(1))
    work_all()
    replayed(ids=ids)
    work_all()
    assert seen == [False, True]


def test_replay_of_everything_must_be_said(session):
    with pytest.raises(InvalidInput):
        service.replay(Selection())


def test_replay_leaves_waiting_and_running_rows_alone(session):
    put(*numbered(1))
    put(xml_of("t_event"), state=InboxState.PROCESSING, attempts=1)
    assert replayed(since=utcnow() - timedelta(days=1)) == []


def test_purge_takes_finished_rows_past_their_time_and_never_dead_ones(session, settings):
    long_ago = utcnow() - timedelta(days=settings.inbox.retention_days + 1)
    for number, state in enumerate(InboxState):
        put(xml_of("t_event", f"<O>{number}</O>"), state=state, finished_at=long_ago)
    put(xml_of("t_event"), state=InboxState.DONE, finished_at=utcnow())
    jobs.purge_inbox()
    assert sorted(states()) == ["dead", "done", "failed", "processing", "received"]


def test_the_due_question_follows_next_at(session):
    put(*numbered(1), state=InboxState.FAILED, next_at=utcnow() + timedelta(seconds=10))
    assert not jobs.events_due()
    with later(seconds=11):
        assert jobs.events_due()
        assert not jobs.urgent_due()


def test_a_full_drain_wakes_itself_again(session, redis, handling, monkeypatch):
    handling("t_event")(lambda batch: None)
    monkeypatch.setattr(jobs, "RUN_SECONDS", 0)
    put(*numbered(1))
    jobs.drain_events()
    assert redis.llen("rq:queue:events") == 1


def test_every_handler_module_is_loaded_and_handles_something():
    folder = Path(registry.handlers.__file__).parent
    modules = {
        f"wecom_callbacks.handlers.{file.stem}" for file in folder.glob("*.py") if file.stem != "__init__"
    }
    assert set(registry.load_handlers()) == modules
    assert {handler.__module__ for handler in registry.registered().values()} == modules
