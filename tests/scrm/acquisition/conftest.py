"""A corp in the sandbox whose people add members, and welcomes that go out to them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, select

from scrm.acquisition.jobs import plan_nameless_welcomes
from scrm.acquisition.models import Welcome, WelcomeMessage
from scrm.acquisition.service.greeting import Newcomer, greet
from scrm.customers.events import LostBy
from scrm.customers.models import Customer, Follow
from scrm.customers.service.recording import Add, Deletion, record_adds, record_deletions
from scrm.kernel import clock
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session as current_session
from scrm.kernel.db import transaction
from scrm.kernel.settings import settings as settings_now
from scrm.wecom.jobs import carry_out_urgent

NOWHERE = "http://127.0.0.1:9/nowhere"


@dataclass
class Door:
    """Where people come in: the sandbox's add, recorded and greeted as the callback handler does it."""

    sandbox: Any
    userid: str

    def comes_in(self, state: str | None = None, ago: float = 0, **person: Any) -> Newcomer:
        """Somebody adds the member; the callback is handled ``ago`` seconds after the event."""
        [told] = self.sandbox.add(self.userid, state=state, **person)
        return self.callback(told, state, utcnow() - timedelta(seconds=ago))

    def scans(self, config_id: str, **person: Any) -> Newcomer:
        """Somebody scans a code of ours; WeCom picks the member, who adds back at once."""
        [told] = self.sandbox.scan(config_id=config_id, half="full", **person)
        return self.callback(
            told, self.sandbox.state("contact_way", config_id)["settings"]["state"], utcnow()
        )

    def callback_again(self, newcomer: Newcomer, at: datetime | None = None) -> None:
        """The same person's add callback once more, or a later add."""
        follow = current_session().get(Follow, newcomer.follow_id)
        customer = current_session().get(Customer, follow.customer_id)
        with transaction():
            record_adds(
                [Add(self.userid, customer.external_userid, at or newcomer.event_at, False, newcomer.state)]
            )

    def lose(self, newcomer: Newcomer, at: datetime) -> None:
        """The member deleted this person."""
        follow = current_session().get(Follow, newcomer.follow_id)
        customer = current_session().get(Customer, follow.customer_id)
        with transaction():
            record_deletions([Deletion(self.userid, customer.external_userid, at, LostBy.STAFF)])

    def callback(self, told: Any, state: str | None, at: datetime) -> Newcomer:
        """Handle one add callback."""
        with transaction():
            add = Add(told["userid"], told["external_userid"], at, False, state)
            [follow_id] = record_adds([add]).values()
            newcomer = Newcomer(follow_id, told["welcome_codes"]["main"], at, state, "main")
            greet([newcomer])
        return newcomer

    def work(self) -> None:
        """What the urgent worker does next."""
        plan_nameless_welcomes()
        carry_out_urgent()

    def delivered(self, newcomer: Newcomer) -> Any:
        """What WeCom delivered for this code: {"text": str, "attachments": [...]}, or None."""
        message = self.sandbox.state("welcome", newcomer.welcome_code)["message"]
        return message and {**message, "text": (message["text"] or {}).get("content")}


@pytest.fixture
def noon(sandbox):
    """Tomorrow at noon in the corp's zone, here and at WeCom: no test runs over midnight by chance."""
    zone = settings_now().corp.zone
    now = utcnow().astimezone(zone)
    wanted = datetime.combine(now.date() + timedelta(days=1), time(12), zone)
    ahead = (wanted - now).total_seconds()
    sandbox.advance_clock(ahead)
    with clock.shifted(timedelta(seconds=ahead)):
        yield wanted


@pytest.fixture
def door(session, sandbox):
    """A member whose door people come through. Callbacks go nowhere: codes are made only for apps that are called."""
    sandbox.population(members=2, kf_accounts=0)
    sandbox.set_callback(NOWHERE, verify=False)
    yield Door(sandbox, sandbox.state_ids("member")[0])
    sandbox.set_callback(None, verify=False)


def make_message(**values: Any) -> WelcomeMessage:
    """A default welcome message without variables; keyword arguments change it."""
    defaults = {"name": "欢迎", "text": "欢迎", "attachments": [], "staff_ids": [], "is_default": True}
    message = WelcomeMessage(**{**defaults, **values})
    with transaction():
        current_session().add(message)
    return message


@pytest.fixture
def message():
    """Makes welcome messages."""
    return make_message


@pytest.fixture
def welcomes(session):
    """All welcomes, fresh from the database."""

    def read() -> list[Welcome]:
        session.expire_all()
        return list(session.scalars(select(Welcome).order_by(Welcome.id)))

    return read


@pytest.fixture
def count_statements(session):
    """Counts what is sent to the database inside a ``with``."""

    class Count:
        count = 0

    @contextmanager
    def counting():
        made = Count()

        def note(*_: Any) -> None:
            made.count += 1

        event.listen(Engine, "before_cursor_execute", note)
        try:
            yield made
        finally:
            event.remove(Engine, "before_cursor_execute", note)

    return counting
