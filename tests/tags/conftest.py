"""People, relations and tags for tests of tags and rules."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import select, text, update

from scrm.customers.models import Customer, Follow
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session as current_session
from scrm.kernel.settings import EXTENSION
from scrm.staff.models import Staff
from scrm.wecom.events import EffectSettled
from scrm.wecom.models import Effect, EffectState
from tags.models import Tag, TagAssignment, TagGroup, TagSource

numbers = itertools.count(1)


def add(row):
    """Write a row."""
    current_session().add(row)
    current_session().flush()
    return row


def throng(size):
    """So many customers with a relation each, all named vip."""
    rows = "SELECT 'throng' || n, 'vip' FROM generate_series(1, :size) n"
    current_session().execute(text(f"INSERT INTO customers (external_userid, name) {rows}"), {"size": size})
    one = "INSERT INTO staff (userid) VALUES ('throng') RETURNING id"
    current_session().execute(
        text("INSERT INTO follows (customer_id, staff_id, added_at) SELECT id, :staff, now() FROM customers"),
        {"staff": current_session().scalar(text(one))},
    )


@dataclass
class World:
    """Makes rows and reads the present state."""

    group: TagGroup

    def staff(self, userid=None):
        return self._add(Staff(userid=userid or f"staff{next(numbers)}"))

    def customer(self, **fields):
        return self._add(Customer(external_userid=f"wm{next(numbers):06}", **fields))

    def follow(self, customer, staff, **fields):
        fields.setdefault("added_at", utcnow() - timedelta(days=1))
        return self._add(Follow(customer_id=customer.id, staff_id=staff.id, **fields))

    def followed(self, staff=None, **fields):
        """A new customer with one active relation."""
        return self.follow(self.customer(**fields), staff or self.staff())

    def tag(self, name=None, wecom_id=None):
        number = next(numbers)
        return self._add(
            Tag(group_id=self.group.id, name=name or f"tag{number}", wecom_id=wecom_id or f"et{number}")
        )

    def _add(self, row):
        current_session().add(row)
        current_session().flush()
        return row

    def states(self, follow):
        """tag id → state."""
        rows = select(TagAssignment.tag_id, TagAssignment.state).where(TagAssignment.follow_id == follow.id)
        return dict(map(tuple, current_session().execute(rows)))

    def sources(self, follow, tag):
        rows = (
            select(TagSource.source)
            .join(TagAssignment, TagAssignment.id == TagSource.assignment_id)
            .where(TagAssignment.follow_id == follow.id, TagAssignment.tag_id == tag.id)
        )
        return sorted(current_session().scalars(rows))

    def effects(self, kind="mark_tag"):
        rows = select(Effect).where(Effect.kind == kind).order_by(Effect.id)
        return current_session().scalars(rows.execution_options(populate_existing=True)).all()

    def long_ago(self):
        """Date every assignment back, so that a look at WeCom counts."""
        current_session().execute(update(TagAssignment).values(changed_at=utcnow() - timedelta(hours=1)))


def end(effect, state=EffectState.CONFIRMED, errcode=None, error=None):
    """Bring an effect to its end as the ledger does; returns the event it publishes."""
    effect.state, effect.errcode, effect.error = state, errcode, error
    current_session().flush()
    return EffectSettled(effect.id, effect.kind, effect.key, effect.subject, effect.state, effect.errcode)


@pytest.fixture
def rule_limits(app, monkeypatch):
    """Give the app other ``[rules]`` settings for the length of the test."""

    def give(**limits):
        told = app.extensions[EXTENSION]
        rules = told.rules.model_copy(update=limits)
        monkeypatch.setitem(app.extensions, EXTENSION, told.model_copy(update={"rules": rules}))

    return give


@pytest.fixture
def world(session):
    return make_world()


def make_world():
    group = TagGroup(name=f"group{next(numbers)}", wecom_id=f"etG{next(numbers)}")
    current_session().add(group)
    current_session().flush()
    return World(group)
