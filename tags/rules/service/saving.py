"""Making, changing, deleting rules; starting and undoing runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput, NotFound
from scrm.kernel.events import publish
from scrm.kernel.locks import hold_in_transaction
from tags.events import RuleRunWanted
from tags.models import Rule, RuleRun, RuleState, RuleVersion, RunKind, RunState
from tags.queries import unknown_tags
from tags.rules.compiler import condition_reads, validate_condition, versioned
from tags.rules.service.cycles import refuse_cycles
from tags.rules.service.marking import ACTIVATION

TEXT_FIELDS = ("condition", "add_tag_ids", "remove_tag_ids", "keep")
OPEN = (RunState.QUEUED, RunState.RUNNING, RunState.UNDOING)


def create_rule(data: Mapping[str, Any], actor: str) -> Rule:
    """A new rule at version 1; existing customers are touched only by a backfill.

    :param data: ``name``, ``state``, ``condition``, ``add_tag_ids``, ``remove_tag_ids``, ``keep``
    :raises InvalidInput: the condition or a tag is wrong, or rules would feed each other in a ring
    """
    hold_in_transaction(ACTIVATION)
    rule = Rule(name=data["name"], state=data["state"], swept_until=utcnow())
    session().add(rule)
    session().flush()
    _write_version(rule, data, actor)
    return rule


def change_rule(rule_id: int, data: Mapping[str, Any], actor: str, expected: int | None = None) -> Rule:
    """Another name, state or text; another text is a new version.

    :param expected: the version the caller looked at; another one meanwhile is a Conflict
    """
    hold_in_transaction(ACTIVATION)
    rule = _living(rule_id)
    if expected is not None and expected != rule.version:
        raise Conflict(f"rule {rule_id} is at version {rule.version}, not {expected}; look at it again")
    rule.name = data.get("name", rule.name)
    if data.get("state", rule.state) != rule.state:
        rule.state, rule.error = data["state"], None
        rule.swept_until = utcnow() if rule.state == RuleState.ACTIVE else rule.swept_until
    if any(name in data for name in TEXT_FIELDS):
        _write_next_version(rule, data, actor)
    session().flush()
    return rule


def delete_rule(rule_id: int) -> RuleRun | None:
    """Delete a rule. What it set goes too, in the background, unless the rule says ``keep``; returns that run."""
    hold_in_transaction(ACTIVATION)
    rule = _living(rule_id)
    _refuse_open_run(rule_id)
    rule.state, rule.deleted_at = RuleState.PAUSED, utcnow()
    session().flush()
    if _version(rule).keep:
        return None
    return _start(rule, RunKind.RETIRE)


def start_backfill(rule_id: int) -> RuleRun:
    """Apply an active rule to all customers, in the background.

    :raises Conflict: the rule is not active, or another run of it is not finished
    """
    hold_in_transaction(ACTIVATION)
    rule = _living(rule_id)
    if rule.state != RuleState.ACTIVE:
        raise Conflict(f"rule {rule_id} is {rule.state}; make it active first")
    _refuse_open_run(rule_id)
    return _start(rule, RunKind.BACKFILL)


def start_undo(rule_id: int, run_id: int) -> RuleRun:
    """Restore what a backfill changed, in the background. The rule is paused, or it would do it again.

    :raises Conflict: the run is not finished, or was undone
    """
    hold_in_transaction(ACTIVATION)
    rule = _living(rule_id)
    run = session().get(RuleRun, run_id, with_for_update=True, populate_existing=True)
    if run is None or run.rule_id != rule_id or run.kind != RunKind.BACKFILL:
        raise NotFound(f"rule {rule_id} has no backfill {run_id}")
    if run.state not in (RunState.DONE, RunState.FAILED):
        raise Conflict(f"run {run_id} is {run.state}; only a finished one can be undone")
    _refuse_open_run(rule_id)
    if rule.state == RuleState.ACTIVE:
        rule.state, rule.error = RuleState.PAUSED, f"paused by the undo of run {run_id}"
    run.state, run.cursor, run.finished_at = RunState.UNDOING, 0, None
    session().flush()
    publish(RuleRunWanted(run.id))
    return run


def _living(rule_id: int) -> Rule:
    rule = session().get(Rule, rule_id, with_for_update=True, populate_existing=True)
    if rule is None or rule.deleted_at is not None:
        raise NotFound(f"there is no rule {rule_id}")
    return rule


def _version(rule: Rule) -> RuleVersion:
    statement = select(RuleVersion).filter_by(rule_id=rule.id, version=rule.version)
    found: RuleVersion = session().scalars(statement).one()
    return found


def _write_next_version(rule: Rule, data: Mapping[str, Any], actor: str) -> None:
    present = _version(rule)
    text = {name: data.get(name, getattr(present, name)) for name in TEXT_FIELDS}
    if all(text[name] == getattr(present, name) for name in TEXT_FIELDS):
        return
    rule.version += 1
    _write_version(rule, text, actor)


def _write_version(rule: Rule, text: Mapping[str, Any], actor: str) -> None:
    validate_condition(text["condition"])
    for field in ("add_tag_ids", "remove_tag_ids"):
        _check_tags(field, text[field])
    if both := set(text["add_tag_ids"]) & set(text["remove_tag_ids"]):
        raise InvalidInput.field("remove_tag_ids", f"must not hold tags of add_tag_ids too: {sorted(both)}")
    version = RuleVersion(
        rule_id=rule.id,
        version=rule.version,
        condition=versioned(text["condition"]),
        reads=condition_reads(text["condition"]),
        add_tag_ids=list(text["add_tag_ids"]),
        remove_tag_ids=list(text["remove_tag_ids"]),
        keep=text["keep"],
        made_by=actor,
    )
    session().add(version)
    session().flush()
    refuse_cycles(rule.id)


def _check_tags(field: str, tag_ids: Sequence[int]) -> None:
    if missing := unknown_tags(tag_ids):
        raise InvalidInput.field(
            f"{field}.{list(tag_ids).index(missing[0])}", f"there is no tag {missing[0]}"
        )


def _refuse_open_run(rule_id: int) -> None:
    open_run = select(RuleRun.id).where(RuleRun.rule_id == rule_id, RuleRun.state.in_(OPEN))
    if (run_id := session().scalar(open_run)) is not None:
        raise Conflict(f"run {run_id} of rule {rule_id} is not finished")


def _start(rule: Rule, kind: RunKind) -> RuleRun:
    run = RuleRun(rule_id=rule.id, kind=kind, version=rule.version, state=RunState.QUEUED)
    session().add(run)
    session().flush()
    publish(RuleRunWanted(run.id))
    return run
