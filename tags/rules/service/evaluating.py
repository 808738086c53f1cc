"""What rules would change for some customers, in one statement, and doing it.

Each rule is a boolean column; the difference to what the rule already set is taken in SQL. Whoever evaluates a customer
holds the lock of the customer's shard from before the look until the commit, so that an older look never overwrites a
newer one; incremental evaluation takes one shard, a backfill all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    ColumnElement,
    Select,
    Text,
    and_,
    cast,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    update,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.exc import DataError, InternalError, NotSupportedError, ProgrammingError

from scrm.customers.models import Customer, Follow, FollowStatus
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import ScrmError
from scrm.kernel.locks import hold_in_transaction
from tags.arrays import is_one_of, row_table
from tags.models import Rule, RuleState, RuleVersion, Tag, TagAssignment, TagSource
from tags.rules.compiler import compile_condition
from tags.rules.relations import LIVE
from tags.service import Wish

SHARDS = 8
FAULTS = (
    DataError,
    ProgrammingError,
    InternalError,
    NotSupportedError,
)  # the rule's own; not a lost connection
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class RuleText:
    """What a rule says at one version.

    :param remove_tag_ids: tags this rule set at some time, taken away while the condition holds
    :param keep: tags stay when the condition no longer holds
    """

    id: int
    version: int
    condition: dict[str, Any]
    add_tag_ids: Sequence[int]
    remove_tag_ids: Sequence[int] = ()
    keep: bool = False

    @property
    def source(self) -> str:
        """How assignments name this rule."""
        return f"rule:{self.id}"


def rule_texts(*where: ColumnElement[bool]) -> list[RuleText]:
    """The newest version of the rules that ``where`` picks (over :class:`Rule`), oldest rule first."""
    v = RuleVersion
    statement = (
        select(Rule.id, v.version, v.condition, v.add_tag_ids, v.remove_tag_ids, v.keep)
        .join(v, and_(v.rule_id == Rule.id, v.version == Rule.version))
        .where(*where)
        .order_by(Rule.id)
    )
    return [RuleText(*row) for row in session().execute(statement)]


def active_rules(rule_ids: Iterable[int]) -> list[RuleText]:
    """Those of the rules that are active now."""
    return rule_texts(is_one_of(Rule.id, rule_ids), Rule.state == RuleState.ACTIVE, Rule.deleted_at.is_(None))


def hold_shards(shards: Iterable[int]) -> None:
    """Wait until nobody else evaluates customers of these shards; until the end of the transaction."""
    for shard in sorted(shards):
        hold_in_transaction(f"rules.evaluate:{shard}")


def shard_of(customer_id: Any) -> Any:
    """The shard of a customer (a column or a number)."""
    return customer_id % SHARDS


def differences(
    rules: Sequence[RuleText], customer_ids: Sequence[int], run_id: int | None = None
) -> list[Wish]:
    """What the rules want changed on these customers. A rule that cannot be evaluated is paused; the others go on."""
    able = _compiled(rules, utcnow())
    if not able or not customer_ids:
        return []
    try:
        rows = _difference_rows(able, is_one_of(Customer.id, customer_ids))
    except FAULTS:
        rows = [row for each in able for row in _alone(each, customer_ids)]
    return [Wish(row.follow_id, row.tag_id, f"rule:{row.rule_id}", row.adds, run_id) for row in rows]


Compiled = tuple[RuleText, ColumnElement[bool]]


def _compiled(rules: Sequence[RuleText], now: datetime) -> list[Compiled]:
    able = []
    for rule in rules:
        try:
            able.append((rule, compile_condition(rule.condition, now=now)))
        except (ScrmError, ArithmeticError) as error:
            pause(rule.id, f"its condition cannot be read: {error}")
    return able


def _alone(compiled: Compiled, customer_ids: Sequence[int]) -> Sequence[Any]:
    try:
        return _difference_rows([compiled], is_one_of(Customer.id, customer_ids))
    except FAULTS as error:
        pause(compiled[0].id, f"its condition cannot be evaluated: {str(error.orig).splitlines()[0][:200]}")
        return []


def _difference_rows(rules: Sequence[Compiled], population: ColumnElement[bool]) -> Sequence[Any]:
    with session().begin_nested():
        session().execute(
            sql("SET LOCAL jit = off")
        )  # compiling a hundred columns costs more than running them
        return session().execute(difference_statement(rules, population)).all()


def pause(rule_id: int, error: str) -> None:
    """Take a rule out of work and say why."""
    log.warning("rule paused", rule_id=rule_id)
    session().execute(
        update(Rule)
        .where(Rule.id == rule_id, Rule.state == RuleState.ACTIVE)
        .values(state=RuleState.PAUSED, error=error)
        .execution_options(synchronize_session=False)
    )


def difference_statement(rules: Sequence[Compiled], population: ColumnElement[bool]) -> Select[Any]:
    """(follow_id, tag_id, rule_id, adds) of everything that is not yet as the rules want it.

    :param population: which customers, as a clause over :class:`Customer`
    """
    truth = truth_table(rules, population)
    both = missing(truth, rules).union_all(surplus(truth, rules)).subquery("differences")
    return select(both).order_by(both.c.follow_id, both.c.tag_id, both.c.rule_id)


def truth_table(rules: Sequence[Compiled], population: ColumnElement[bool]) -> CTE:
    """(customer_id, rule_id, holds): every rule a boolean column of one look, then turned into rows."""
    columns = [clause.label(f"holds_{i}") for i, (_, clause) in enumerate(rules)]
    wide = select(Customer.id.label("customer_id"), *columns).where(population).cte("wide")
    ids = array([literal(rule.id, BigInteger) for rule, _ in rules])
    holds = array([wide.c[f"holds_{i}"] for i in range(len(rules))])
    long = func.unnest(ids, holds).table_valued("rule_id", "holds").render_derived(name="long")
    return (
        select(wide.c.customer_id, long.c.rule_id, long.c.holds)
        .select_from(wide.join(long, true()))
        .cte("truth")
    )


def missing(truth: CTE, rules: Sequence[Compiled]) -> Select[Any]:
    """Tags that a rule wants on present relations and that do not have the rule as a source."""
    wanted = _tags_of([(rule.id, tag_id) for rule, _ in rules for tag_id in rule.add_tag_ids], "wanted")
    has_source = (
        exists()
        .where(
            TagAssignment.follow_id == Follow.id,
            TagAssignment.tag_id == wanted.c.tag_id,
            TagSource.assignment_id == TagAssignment.id,
            TagSource.source == source_of(truth.c.rule_id),
        )
        .correlate(Follow, wanted, truth)
    )
    return (
        select(Follow.id.label("follow_id"), wanted.c.tag_id, truth.c.rule_id, literal(True).label("adds"))
        .select_from(truth)
        .join(wanted, wanted.c.rule_id == truth.c.rule_id)
        .join(Tag, and_(Tag.id == wanted.c.tag_id, Tag.deleted_at.is_(None)))
        .join(Follow, and_(Follow.customer_id == truth.c.customer_id, Follow.status.in_(LIVE)))
        .where(truth.c.holds, ~has_source)
    )


def surplus(truth: CTE, rules: Sequence[Compiled]) -> Select[Any]:
    """Tags that have a rule as a source and should not: it no longer holds, no longer names them, or takes them away."""
    named = _tags_of([(rule.id, tag_id) for rule, _ in rules for tag_id in rule.add_tag_ids], "named")
    taken = _tags_of([(rule.id, tag_id) for rule, _ in rules for tag_id in rule.remove_tag_ids], "taken")
    keeping = [rule.id for rule, _ in rules if rule.keep]
    names = exists().where(named.c.rule_id == truth.c.rule_id, named.c.tag_id == TagAssignment.tag_id)
    takes = exists().where(taken.c.rule_id == truth.c.rule_id, taken.c.tag_id == TagAssignment.tag_id)
    keeps = truth.c.rule_id == func.any(literal(keeping, ARRAY(BigInteger)))
    over = or_(
        Follow.status == FollowStatus.DELETED_BY_STAFF,
        and_(truth.c.holds, takes),
        and_(not_(keeps), or_(not_(truth.c.holds), not_(names))),
    )
    return (
        select(TagAssignment.follow_id, TagAssignment.tag_id, truth.c.rule_id, literal(False).label("adds"))
        .select_from(truth)
        .join(TagAssignment, TagAssignment.customer_id == truth.c.customer_id)
        .join(
            TagSource,
            and_(TagSource.assignment_id == TagAssignment.id, TagSource.source == source_of(truth.c.rule_id)),
        )
        .join(Follow, Follow.id == TagAssignment.follow_id)
        .where(over)
    )


def source_of(rule_id: Any) -> ColumnElement[str]:
    """``rule:<id>`` in SQL."""
    return literal("rule:", Text) + cast(rule_id, Text)


def _tags_of(pairs: Sequence[tuple[int, int]], name: str) -> Any:
    return row_table(name, {"rule_id": BigInteger, "tag_id": BigInteger}, pairs)
