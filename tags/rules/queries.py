"""Reading rules, their runs, and what a rule would do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import and_, case, exists, func, select
from sqlalchemy import text as sql

from scrm.customers.models import Customer
from scrm.customers.queries import customer_by_id, visible
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.paging import paginate
from scrm.kernel.permissions import Scope
from tags.models import AssignmentState, Rule, RuleRun, RuleVersion, RunKind, TagAssignment, TagSource
from tags.rules.compiler import compile_condition, explain, words
from tags.rules.leaves import Language
from tags.rules.service.evaluating import RuleText, missing, surplus, truth_table

PREVIEW_SECONDS = 20
NO_RULE = 0  # a rule that is not saved yet


def rule_page(query: Mapping[str, Any]) -> dict[str, Any]:
    """A page of rules, newest first; ``state`` narrows it."""
    statement = _rules()
    if state := query.get("state"):
        statement = statement.where(Rule.state == state)
    page = paginate(statement, Rule.id, query)
    return {**page, "items": [_shown(row) for row in page["items"]]}


def rule_detail(rule_id: int) -> dict[str, Any]:
    """One rule with its newest version; raises NotFound."""
    row = session().execute(_rules().where(Rule.id == rule_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no rule {rule_id}")
    return _shown(dict(row))


def rule_versions(rule_id: int) -> list[RuleVersion]:
    """What a rule said at each version, newest first."""
    rule_detail(rule_id)
    return list(
        session().scalars(select(RuleVersion).filter_by(rule_id=rule_id).order_by(RuleVersion.version.desc()))
    )


def run_page(rule_id: int, query: Mapping[str, Any]) -> dict[str, Any]:
    """Runs of a rule, newest first, of a deleted one too; raises NotFound."""
    if session().get(Rule, rule_id) is None:
        raise NotFound(f"there is no rule {rule_id}")
    page = paginate(select(RuleRun).where(RuleRun.rule_id == rule_id), RuleRun.id, query)
    return {**page, "items": [run_shown(run) for run in page["items"]]}


def run_detail(rule_id: int, run_id: int) -> dict[str, Any]:
    """One run with its progress; raises NotFound."""
    run = session().get(RuleRun, run_id, populate_existing=True)
    if run is None or run.rule_id != rule_id:
        raise NotFound(f"rule {rule_id} has no run {run_id}")
    return run_shown(run)


def run_shown(run: RuleRun) -> dict[str, Any]:
    """A run with how many customers are left to see; for a backfill only, otherwise None."""
    left = select(func.count()).select_from(Customer).where(Customer.id > run.cursor)
    working = run.kind == RunKind.BACKFILL and run.state in ("queued", "running")
    columns = {column.key: getattr(run, column.key) for column in run.__table__.columns}
    return {**columns, "left": session().scalar(left) if working else None}


def preview(scope: Scope, rule: Mapping[str, Any]) -> dict[str, Any]:
    """What a rule would do now to the customers of a scope, without doing it.

    :param rule: ``condition``, ``add_tag_ids``, ``remove_tag_ids``, ``keep``, ``sample``, and ``rule_id`` when it is a
        changed text of a rule that exists
    :returns: ``count`` of customers, ``sample`` ids, ``would_add`` and ``would_remove`` (tags on relations that would
        come or go), ``words``
    :raises InvalidInput: the condition is malformed
    """
    session().execute(sql(f"SET LOCAL statement_timeout = '{PREVIEW_SECONDS}s'"))
    holds = compile_condition(rule["condition"])
    meant = and_(holds, visible(scope))
    count = session().scalar(select(func.count()).select_from(Customer).where(meant))
    sample = session().scalars(
        select(Customer.id).where(meant).order_by(Customer.id.desc()).limit(rule["sample"])
    )
    added, removed = _differences(scope, rule, holds)
    return {
        "count": count,
        "sample": list(sample),
        "would_add": added,
        "would_remove": removed,
        "words": {"zh": words(rule["condition"], "zh"), "en": words(rule["condition"], "en")},
    }


def _differences(scope: Scope, rule: Mapping[str, Any], holds: Any) -> tuple[int, int]:
    text = RuleText(
        rule.get("rule_id") or NO_RULE,
        0,
        dict(rule["condition"]),
        rule["add_tag_ids"],
        rule["remove_tag_ids"],
        rule["keep"],
    )
    rules = [(text, holds)]
    truth = truth_table(rules, visible(scope))
    new, over = missing(truth, rules).subquery("new"), surplus(truth, rules).subquery("over")
    there = exists().where(
        TagAssignment.follow_id == new.c.follow_id,
        TagAssignment.tag_id == new.c.tag_id,
        TagAssignment.state.in_([AssignmentState.ACTIVE, AssignmentState.PENDING_ADD]),
    )
    others = exists().where(
        TagAssignment.follow_id == over.c.follow_id,
        TagAssignment.tag_id == over.c.tag_id,
        TagSource.assignment_id == TagAssignment.id,
        TagSource.source != text.source,
    )
    added = session().scalar(select(func.count(case((~there, 1)))).select_from(new))
    removed = session().scalar(select(func.count(case((~others, 1)))).select_from(over))
    return added or 0, removed or 0


def explanation(scope: Scope, rule_id: int, customer_id: int, language: Language) -> dict[str, Any]:
    """Whether a rule holds for a customer of the scope, leaf by leaf; raises NotFound."""
    rule = rule_detail(rule_id)
    customer_by_id(scope, customer_id)
    told = explain(rule["condition"], customer_id, language)
    return {
        "rule_id": rule_id,
        "customer_id": customer_id,
        "at": utcnow(),
        "holds": told["holds"],
        "condition": told,
    }


def _rules() -> Any:
    v = RuleVersion
    return (
        select(
            Rule.id, Rule.name, Rule.state, Rule.version, Rule.error, Rule.created_at, Rule.updated_at,
            v.condition, v.reads, v.add_tag_ids, v.remove_tag_ids, v.keep, v.made_by,
        )
        .join(v, and_(v.rule_id == Rule.id, v.version == Rule.version))
        .where(Rule.deleted_at.is_(None))
    )  # fmt: skip


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    condition = row["condition"]
    return {**row, "words": {"zh": words(condition, "zh"), "en": words(condition, "en")}}
