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
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import array

from scrm.alerts.service import Alert, alert
from scrm.customers.models import Customer, Follow, FollowStatus
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import ScrmError
from scrm.kernel.locks import hold_all_in_transaction
from scrm.kernel.settings import settings
from tags.arrays import is_one_of, row_table
from tags.models import Rule, RuleChange, RuleState, RuleVersion, Tag, TagAssignment, TagSource
from tags.rules.compiler import compile_condition
from tags.rules.relations import LIVE
from tags.rules.service.bounds import FAULTS, bounded, told
from tags.rules.service.reasons import reasons
from tags.rules.service.texts import RuleText
from tags.service import Wish
from tags.tagging.service.contests import RULE

SHARDS = 8
log = structlog.get_logger(__name__)


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
    hold_all_in_transaction(f"rules.evaluate:{shard}" for shard in sorted(shards))


def shard_of(customer_id: Any) -> Any:
    """The shard of a customer (a column or a number)."""
    return customer_id % SHARDS


@dataclass(frozen=True)
class Population:
    """Which customers are looked at.

    :param where: over :class:`Customer`
    :param assignments: the same over :class:`TagAssignment`
    :param everybody: many at once, so that leaves are worked out as sets
    :param few: so few that what one rule set on them is found from their own tags
    """

    where: ColumnElement[bool]
    assignments: ColumnElement[bool]
    everybody: bool = False
    few: bool = False

    @classmethod
    def of_ids(cls, customer_ids: Sequence[int]) -> Population:
        """A few."""
        own = is_one_of(TagAssignment.customer_id, customer_ids)
        return cls(is_one_of(Customer.id, customer_ids), own, few=True)

    @classmethod
    def between(cls, begin: int, end: int, *, few: bool = False) -> Population:
        """All whose id is greater than ``begin`` and at most ``end``."""
        return cls(
            and_(Customer.id > begin, Customer.id <= end),
            and_(TagAssignment.customer_id > begin, TagAssignment.customer_id <= end),
            everybody=True,
            few=few,
        )


def differences(rules: Sequence[RuleText], population: Population, run_id: int | None = None) -> list[Wish]:
    """What the rules want changed on these customers. A rule that cannot be evaluated is paused; the others go on."""
    now = utcnow()
    able = _compiled(rules, now, population.everybody)
    if not able:
        return []
    try:
        rows = _difference_rows(able, population)
    except FAULTS:
        rows = [row for each in able for row in _alone(each, population)]
    why = reasons(
        [rule for rule, _ in able], [(row.rule_id, row.customer_id) for row in rows if row.adds], now
    )
    return [
        Wish(
            row.follow_id, row.tag_id, f"rule:{row.rule_id}", row.adds, run_id,
            reason=why.get((row.rule_id, row.customer_id)) if row.adds else None,
        )
        for row in rows
    ]  # fmt: skip


def differing(rule: RuleText, population: Population, limit: int) -> list[int]:
    """Customers on whom a rule wants something changed, by id, the first ``limit`` of them.

    :raises DBAPIError: one of :data:`FAULTS`; ScrmError, ArithmeticError: the condition cannot be read
    """
    compiled = [(rule, compile_condition(rule.condition, everybody=population.everybody))]
    both = difference_table(truth_table(compiled, population.where), compiled, population)
    asked = select(both.c.customer_id).distinct().order_by(both.c.customer_id).limit(limit)
    with bounded(settings().rules.look_seconds):
        return list(session().scalars(asked))


Compiled = tuple[RuleText, ColumnElement[bool]]


def _compiled(rules: Sequence[RuleText], now: datetime, everybody: bool) -> list[Compiled]:
    able = []
    for rule in rules:
        try:
            able.append((rule, compile_condition(rule.condition, now=now, everybody=everybody)))
        except (ScrmError, ArithmeticError) as error:
            pause(rule.id, f"its condition cannot be read: {error}")
    return able


def _alone(compiled: Compiled, population: Population) -> Sequence[Any]:
    try:
        return _difference_rows([compiled], population)
    except FAULTS as error:
        pause(
            compiled[0].id, f"its condition cannot be evaluated: {told(error, settings().rules.look_seconds)}"
        )
        return []


def _difference_rows(rules: Sequence[Compiled], population: Population) -> Sequence[Any]:
    with bounded(settings().rules.look_seconds):
        return session().execute(difference_statement(rules, population)).all()


def pause(rule_id: int, error: str) -> None:
    """Take a rule out of work, keep why, and tell the operators."""
    log.warning("rule paused", rule_id=rule_id)
    paused = session().execute(
        update(Rule)
        .where(Rule.id == rule_id, Rule.state == RuleState.ACTIVE)
        .values(state=RuleState.PAUSED, error=error)
        .returning(Rule.name, Rule.version)
        .execution_options(synchronize_session=False)
    ).one_or_none()  # fmt: skip
    if paused is None:
        return
    change = {"state": [RuleState.ACTIVE.value, RuleState.PAUSED.value]}
    session().add(RuleChange(rule_id=rule_id, by=f"rule:{rule_id}", changes=change, at=utcnow()))
    alert(
        [
            Alert(
                kind="rule",
                key=f"rule:{rule_id}:paused:{utcnow().isoformat()}",
                zh=f"标签规则{rule_id}（{paused.name}）第{paused.version}版出错，已暂停，客户标签未因此改变。请修改后重新启用。",
                en=f"Tag rule {rule_id} ({paused.name}), version {paused.version}, failed and is paused; no tag was taken "
                "away because of it. Mend it and make it active again.",
                operators=True,
            )
        ]
    )


def difference_statement(rules: Sequence[Compiled], population: Population) -> Select[Any]:
    """(customer_id, follow_id, tag_id, rule_id, adds) of everything that is not yet as the rules want it."""
    both = difference_table(truth_table(rules, population.where), rules, population)
    return select(both).order_by(both.c.follow_id, both.c.tag_id, both.c.rule_id)


def difference_table(truth: CTE, rules: Sequence[Compiled], population: Population) -> CTE:
    """The same from a truth table, to count or to join."""
    held = held_sources(rules, population)
    over = surplus(truth, rules, held, few=population.few and len(rules) == 1)
    return missing(truth, rules, held).union_all(over).cte("differences")


def held_sources(rules: Sequence[Compiled], population: Population) -> CTE:
    """What these rules set on these customers and did not take away: (customer_id, follow_id, tag_id, rule_id, spent)."""
    # An array and not a join with a list: the planner knows how many rows each source has, and takes its index.
    sources = literal([rule.source for rule, _ in rules], ARRAY(Text))
    rule_id = cast(func.substr(TagSource.source, len(RULE) + 1), BigInteger).label("rule_id")
    a, spent = TagAssignment, TagSource.spent_at.is_not(None).label("spent")
    its = and_(TagSource.assignment_id == a.id, TagSource.source == func.any(sources))
    found = select(a.customer_id, a.follow_id, a.tag_id).where(population.assignments)
    if population.few and len(rules) == 1:
        # OFFSET 0 keeps the planner from beginning with all that the rule holds: while it is being backfilled that is
        # more and more, and statistics do not know yet.
        own = select(rule_id, spent).where(its).correlate(a).offset(0).lateral("own")
        found = found.add_columns(own.c.rule_id, own.c.spent).join(own, true())
    else:
        found = found.add_columns(rule_id, spent).join(TagSource, its)
    return found.cte("held").prefix_with("MATERIALIZED")


def truth_table(rules: Sequence[Compiled], population: ColumnElement[bool]) -> CTE:
    """(customer_id, rule_id) of every rule that holds: several rules are boolean columns of one look, turned into rows;
    one alone is a WHERE, so that its own indexes say whom to look at.
    """
    if len(rules) == 1:
        (rule, clause), *_ = rules
        only = select(Customer.id.label("customer_id"), literal(rule.id, BigInteger).label("rule_id"))
        return only.where(population, clause).cte("truth").prefix_with("MATERIALIZED")
    columns = [clause.label(f"holds_{i}") for i, (_, clause) in enumerate(rules)]
    wide = select(Customer.id.label("customer_id"), *columns).where(population).cte("wide")
    ids = array([literal(rule.id, BigInteger) for rule, _ in rules])
    holds = array([wide.c[f"holds_{i}"] for i in range(len(rules))])
    long = func.unnest(ids, holds).table_valued("rule_id", "holds").render_derived(name="long")
    return (
        select(wide.c.customer_id, long.c.rule_id)
        .select_from(wide.join(long, true()))
        .where(long.c.holds)
        .cte("truth")
        .prefix_with("MATERIALIZED")
    )


def missing(truth: CTE, rules: Sequence[Compiled], held: CTE) -> Select[Any]:
    """Tags that a rule wants on present relations and that do not have the rule as a source."""
    wanted = _tags_of([(rule.id, tag_id) for rule, _ in rules for tag_id in rule.add_tag_ids], "wanted")
    # A hashed set: how long it is, the planner cannot know of a new rule.
    has_source = tuple_(Follow.id, wanted.c.tag_id, truth.c.rule_id).in_(
        select(held.c.follow_id, held.c.tag_id, held.c.rule_id)
    )
    return (
        select(
            truth.c.customer_id, Follow.id.label("follow_id"), wanted.c.tag_id, truth.c.rule_id,
            literal(True).label("adds"),
        )
        .select_from(truth)
        .join(wanted, wanted.c.rule_id == truth.c.rule_id)
        .join(Tag, and_(Tag.id == wanted.c.tag_id, Tag.deleted_at.is_(None)))
        .join(Follow, and_(Follow.customer_id == truth.c.customer_id, Follow.status.in_(LIVE)))
        .where(not_(has_source))
    )  # fmt: skip


def surplus(truth: CTE, rules: Sequence[Compiled], held: CTE, *, few: bool = False) -> Select[Any]:
    """Tags that have a rule as a source and should not: it no longer holds, no longer names them, or takes them away.

    :param few: what is held is of few customers, so that a look at all relations there are would cost most
    """
    named = _tags_of([(rule.id, tag_id) for rule, _ in rules for tag_id in rule.add_tag_ids], "named")
    taken = _tags_of([(rule.id, tag_id) for rule, _ in rules for tag_id in rule.remove_tag_ids], "taken")
    keeping = [rule.id for rule, _ in rules if rule.keep]
    names = exists().where(named.c.rule_id == held.c.rule_id, named.c.tag_id == held.c.tag_id)
    takes = exists().where(taken.c.rule_id == held.c.rule_id, taken.c.tag_id == held.c.tag_id)
    keeps = held.c.rule_id == func.any(literal(keeping, ARRAY(BigInteger)))
    # A hashed set, whatever the planner believes of its size.
    holds = tuple_(held.c.customer_id, held.c.rule_id).in_(select(truth.c.customer_id, truth.c.rule_id))
    its = Follow.id == held.c.follow_id
    looked_up = select(Follow.status).where(its).correlate(held).offset(0).lateral("relation")
    status = looked_up.c.status if few else Follow.status
    over = or_(
        status == FollowStatus.DELETED_BY_STAFF,
        and_(holds, takes),
        and_(held.c.spent, not_(holds)),
        and_(not_(keeps), or_(not_(holds), not_(names))),
    )
    return (
        select(
            held.c.customer_id, held.c.follow_id, held.c.tag_id, held.c.rule_id, literal(False).label("adds")
        )
        .select_from(held.join(looked_up, true()) if few else held.join(Follow, its))
        .where(over)
    )


def _tags_of(pairs: Sequence[tuple[int, int]], name: str) -> Any:
    return row_table(name, {"rule_id": BigInteger, "tag_id": BigInteger}, pairs)
