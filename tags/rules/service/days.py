"""Rules that look at everybody once a day, at a time of day in the corp's zone."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from sqlalchemy import ColumnElement, exists, select

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.kernel.locks import share_in_transaction
from scrm.kernel.settings import settings
from tags.events import RuleRunWanted
from tags.models import Rule, RuleRun, RuleState, RunKind, RunState, Schedule
from tags.rules.queries.runs import OPEN
from tags.rules.service.marking import ACTIVATION

DAILY = (Schedule.DAILY, Schedule.BOTH)


def next_daily(after: datetime, daily_at: str) -> datetime:
    """The first moment after ``after`` at which the corp's clocks show ``daily_at`` (HH:MM)."""
    zone = settings().corp.zone
    hour, minute = map(int, daily_at.split(":"))
    day = after.astimezone(zone).date()
    while (moment := datetime.combine(day, time(hour, minute), zone)) <= after:
        day += timedelta(days=1)
    return moment


def schedule_next(rule: Rule) -> None:
    """Note when the rule looks at everybody next; never, unless it is active and says so."""
    daily = rule.state == RuleState.ACTIVE and rule.schedule in DAILY and rule.daily_at
    rule.daily_next = next_daily(utcnow(), rule.daily_at or "") if daily else None


def daily_due() -> ColumnElement[bool]:
    """Whether a rule's time has come."""
    return exists().where(*_due())


def _due() -> tuple[ColumnElement[bool], ...]:
    return Rule.daily_next <= utcnow(), Rule.state == RuleState.ACTIVE, Rule.deleted_at.is_(None)


def start_daily_runs() -> int:
    """Start the daily run of every rule whose time has come; how many.

    A rule whose last run is not finished waits for the next day: that run sees everybody too. A day missed is caught
    up once.
    """
    share_in_transaction(ACTIVATION)
    due = select(Rule).where(*_due()).order_by(Rule.id).with_for_update(skip_locked=True)
    rules = session().scalars(due.execution_options(populate_existing=True)).all()
    busy = set(session().scalars(select(RuleRun.rule_id).where(RuleRun.state.in_(OPEN))))
    runs = [
        RuleRun(
            rule_id=rule.id,
            kind=RunKind.DAILY,
            version=rule.version,
            state=RunState.QUEUED,
            started_by="clock",
        )
        for rule in rules
        if rule.id not in busy
    ]
    for rule in rules:
        schedule_next(rule)
    session().add_all(runs)
    session().flush()
    publish(*(RuleRunWanted(run.id) for run in runs))
    return len(runs)
