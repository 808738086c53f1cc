"""Something that rules look at was given another meaning, such as the tree of an audience: they look at everybody again.

A rule's own text stays what it was, so this is no new version: what the rule reads is renewed, and active rules are
backfilled. Rules that look once a day anyway wait for that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import ColumnElement, and_, distinct, func, literal, select, true, update

from scrm.customers.models import Customer
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict
from scrm.kernel.events import publish
from scrm.kernel.settings import settings
from tags.arrays import is_one_of
from tags.events import RuleRunWanted
from tags.models import Rule, RuleRun, RuleState, RuleVersion, RunKind, RunState, Schedule
from tags.rules.compiler import compile_condition, condition_reads
from tags.rules.queries.runs import OPEN
from tags.rules.service.bounds import TooSlow, bounded
from tags.rules.service.evaluating import Population, active_rules, difference_table, truth_table
from tags.rules.service.texts import RuleText


def readers_of(fact: str) -> list[int]:
    """Ids of rules that are not deleted and whose newest version reads a fact; drafts too."""
    reading = _newest().where(literal(fact) == func.any(RuleVersion.reads))
    return list(session().scalars(reading.with_only_columns(Rule.id).order_by(Rule.id)))


def _newest() -> Any:
    return (
        select(Rule.id, RuleVersion.condition).join(RuleVersion, _current()).where(Rule.deleted_at.is_(None))
    )


def _current() -> ColumnElement[bool]:
    return and_(RuleVersion.rule_id == Rule.id, RuleVersion.version == Rule.version)


def renew_reads(rule_ids: Iterable[int]) -> None:
    """Work out anew which facts the newest versions of these rules read; the caller holds ``ACTIVATION`` alone."""
    for row in session().execute(_newest().where(is_one_of(Rule.id, rule_ids))).all():
        newest = select(Rule.version).where(Rule.id == row.id).scalar_subquery()
        session().execute(
            update(RuleVersion)
            .where(RuleVersion.rule_id == row.id, RuleVersion.version == newest)
            .values(reads=condition_reads(row.condition))
            .execution_options(synchronize_session=False)
        )


def refuse_storm_among(rule_ids: Iterable[int], meaning: Mapping[str, Any], confirm: str | None) -> None:
    """Refuse a new meaning that would make these rules change a large part of the base, as for a rule's own text.

    :param meaning: what was given the new meaning, and which; the token says yes to exactly this
    :raises Conflict: ``rule-storm`` with the numbers and a token; the count itself taking too long asks as well
    """
    rules = active_rules(rule_ids)
    if not rules or confirm == (token := _token(meaning)):
        return
    seconds = settings().rules.preview_seconds
    try:
        with bounded(seconds):
            touched = _touched([(rule, compile_condition(rule.condition, everybody=True)) for rule in rules])
    except TooSlow:
        raise Conflict(
            f"how many customers the rules that read this would touch could not be counted within {seconds:g} seconds; "
            f"to go on, send confirm: {token}",
            fields={"confirm": token},
            code="rule-storm",
        ) from None
    _refuse_many(rules, touched, token)


def refuse_storm_of(
    rule_ids: Iterable[int], touched: int, meaning: Mapping[str, Any], confirm: str | None
) -> None:
    """The same when it is known how many customers are concerned, such as those who came onto a list at once."""
    rules = active_rules(rule_ids)
    if rules and confirm != (token := _token(meaning)):
        _refuse_many(rules, touched, token)


def _token(meaning: Mapping[str, Any]) -> str:
    return hashlib.blake2s(orjson.dumps(meaning, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


def _refuse_many(rules: Sequence[RuleText], touched: int, token: str) -> None:
    limits = settings().rules
    base = session().scalar(select(func.count()).select_from(Customer)) or 0
    if touched < limits.storm_min or touched <= limits.storm_share * base:
        return
    raise Conflict(
        f"rules that read this ({', '.join(str(rule.id) for rule in rules)}) would change up to {touched} of {base} "
        f"customers (more than {limits.storm_share:.0%} has to be confirmed); to go on, send confirm: {token}",
        fields={"confirm": token, "customers": str(touched), "base": str(base)},
        code="rule-storm",
    )


def _touched(compiled: list[Any]) -> int:
    """Customers with a change."""
    everybody = Population(true(), true(), everybody=True)
    changes = difference_table(truth_table(compiled, everybody.where), compiled, everybody)
    return session().scalar(select(func.count(distinct(changes.c.customer_id)))) or 0


def look_again(rule_ids: Iterable[int], actor: str) -> None:
    """Let active rules look at everybody; a look that is under way begins again. The caller holds ``ACTIVATION`` alone."""
    active = Rule.state == RuleState.ACTIVE, Rule.schedule != Schedule.DAILY, Rule.deleted_at.is_(None)
    rules = session().execute(
        select(Rule.id, Rule.version).where(is_one_of(Rule.id, rule_ids), *active).order_by(Rule.id)
    )
    versions = {row.id: row.version for row in rules}
    under_way = select(RuleRun).where(is_one_of(RuleRun.rule_id, versions), RuleRun.state.in_(OPEN))
    for run in session().scalars(under_way.execution_options(populate_existing=True)):
        run.cursor, run.seen, run.version = _beginning(), 0, versions.pop(run.rule_id)
    made = [
        RuleRun(rule_id=id_, kind=RunKind.BACKFILL, version=version, state=RunState.QUEUED, started_by=actor)
        for id_, version in versions.items()
    ]
    session().add_all(made)
    session().flush()
    publish(*(RuleRunWanted(run.id) for run in made))


def _beginning() -> int:
    """A place before every customer, and another one each time: what a worker found meanwhile for the old meaning is
    known by where it began, and asked again.
    """
    return -int(utcnow().timestamp() * 1_000_000)
