"""An add that is not committed yet and a check of its code do not miss each other."""

from datetime import timedelta
from threading import Event, Thread

import pytest
from sqlalchemy import select

from scrm.acquisition.models import ChannelAdd, ChannelCode, CodeState
from scrm.acquisition.queries.due import checks_due
from scrm.acquisition.service.arrivals import note_facts
from scrm.acquisition.service.keeping import keep_due
from scrm.customers.events import ContactFact, ContactRecorded
from scrm.customers.service.recording import ensure_follows
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.staff.service import ensure_staff


@pytest.fixture
def code(committed):
    """A code with a cap of one, which is due."""
    with transaction():
        a, b = ensure_staff(["amy", "bob"]).values()
        made = ChannelCode(
            name="c", state="ch1", status=CodeState.ACTIVE, config_id="config", contact_type=2, staff_ids=[a], tag_ids=[],
            backup_staff_ids=[b], daily_cap=1, on_duty=[a], check_at=utcnow() - timedelta(seconds=1),
            accepted={"remark": "", "skip_verify": True, "user": ["amy"], "state": "ch1"},
        )  # fmt: skip
        committed.add(made)
    return made


def test_a_check_during_an_uncommitted_add_is_made_up_for(app, committed, code):
    recorded, go_on = Event(), Event()

    def add():
        with app.app_context(), transaction():
            [follow_id] = ensure_follows([("amy", "wm1")]).values()
            note_facts([ContactRecorded(follow_id, 0, 0, ContactFact.ADDED, utcnow(), "ch1")])
            recorded.set()
            assert go_on.wait(60)

    adding = Thread(target=add)
    adding.start()
    assert recorded.wait(60)
    with transaction():
        assert keep_due() == 0, "whoever adds holds the code"
    go_on.set()
    adding.join(60)
    assert checks_due()
    with transaction():
        assert keep_due() == 1
    committed.expire_all()
    assert committed.scalars(select(ChannelAdd.counts)).all() == [True]
    now = committed.get(ChannelCode, code.id)
    assert (now.on_duty, now.duty_reason) == (code.backup_staff_ids, "backup")
    assert not checks_due()


def test_an_add_that_waits_for_a_check_marks_the_code_again(app, committed, code):
    started = Event()

    def add():
        with app.app_context(), transaction():
            [follow_id] = ensure_follows([("amy", "wm1")]).values()
            started.set()
            note_facts([ContactRecorded(follow_id, 0, 0, ContactFact.ADDED, utcnow(), "ch1")])

    adding = Thread(target=add)
    with transaction():
        assert keep_due() == 1
        adding.start()
        assert started.wait(60)
        adding.join(0.5)
        assert adding.is_alive(), "it waits for our commit"
    adding.join(60)
    assert checks_due()
    with transaction():
        keep_due()
    committed.expire_all()
    assert committed.get(ChannelCode, code.id).duty_reason == "backup"
