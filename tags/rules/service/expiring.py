"""Tags whose days are over: the rule that set them no longer wants them, and does not set them again at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, literal_column, or_, select, update

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from tags.models import Rule, RuleVersion, TagAssignment, TagSource
from tags.tagging.service.spending import spend_sources

SWEEP_EVERY = timedelta(hours=1)
SLICE = 2000


def expiry_due() -> ColumnElement[bool]:
    """Whether a rule whose tags have their days was not swept for an hour."""
    before = utcnow() - SWEEP_EVERY
    late = or_(Rule.expired_until.is_(None), Rule.expired_until <= before)
    return exists().where(*_expiring(), late)


def _expiring() -> tuple[ColumnElement[bool], ...]:
    """Paused rules and deleted ones that keep their tags too: what was promised at the tag's setting holds."""
    return (
        RuleVersion.rule_id == Rule.id,
        RuleVersion.version == Rule.version,
        RuleVersion.expire_after_days.is_not(None),
    )


def expire_slice(limit: int = SLICE) -> int:
    """Take up to ``limit`` tags of one rule away; returns how many, and 0 when every rule was swept within the hour."""
    now = utcnow()
    late = or_(Rule.expired_until.is_(None), Rule.expired_until <= now - SWEEP_EVERY)
    rule = session().execute(
        select(Rule.id, RuleVersion.expire_after_days).where(*_expiring(), late).order_by(Rule.id).limit(1)
    ).one_or_none()  # fmt: skip
    if rule is None:
        return 0
    ids = list(session().scalars(_over(rule, now, limit)))
    days = rule.expire_after_days
    spend_sources(ids, f"rule:{rule.id}", by=f"{days} days after" if days != 1 else "1 day after")
    if len(ids) < limit:
        session().execute(
            update(Rule)
            .where(Rule.id == rule.id)
            .values(expired_until=now)
            .execution_options(synchronize_session=False)
        )
    return max(1, len(ids))


def _over(rule: Any, now: Any, limit: int) -> Any:
    return (
        select(TagSource.assignment_id)
        .where(
            and_(
                TagSource.source == f"rule:{rule.id}",
                TagSource.source.like(literal_column("'rule:%'")),  # so that the partial index serves
                TagSource.spent_at.is_(None),
                TagSource.since <= now - timedelta(days=rule.expire_after_days),
            )
        )
        .join(TagAssignment, TagAssignment.id == TagSource.assignment_id)
        .limit(limit)
    )
