"""Making, changing, deleting rules; starting and undoing runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import select

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput, NotFound
from scrm.kernel.events import publish
from scrm.kernel.locks import hold_in_transaction
from tags.events import RuleRunWanted
from tags.models import Rule, RuleChange, RuleRun, RuleState, RuleVersion, RunKind, RunState, Schedule
from tags.queries import unknown_tags
from tags.rules.compiler import condition_reads, validate_condition, versioned
from tags.rules.queries.runs import LOOKING, OPEN
from tags.rules.service.cycles import refuse_cycles
from tags.rules.service.days import schedule_next
from tags.rules.service.marking import ACTIVATION
from tags.rules.service.storms import refuse_storm, refuse_storm_of_order
from tags.rules.service.texts import RuleText
from tags.tagging.service.rivals import exclusive_groups_of, rival_rules
from tags.tagging.service.settling import want_settling

TEXT_FIELDS = ("condition", "add_tag_ids", "remove_tag_ids", "keep", "expire_after_days")
RULE_FIELDS = ("name", "state", "priority", "schedule", "daily_at")


def create_rule(data: Mapping[str, Any], actor: str) -> Rule:
    """A new rule at version 1; existing customers are touched only by a backfill.

    :param data: ``name``, ``state``, ``condition``, ``add_tag_ids``, ``remove_tag_ids``, ``keep``, and where wanted
        ``priority``, ``schedule``, ``daily_at``, ``expire_after_days``, ``confirm``
    :raises InvalidInput: the condition or a tag is wrong, rules would feed each other in a ring, or give different tags
        of an exclusive group without an order
    :raises Conflict: it would touch so many customers that somebody has to confirm
    """
    if data["state"] == RuleState.ACTIVE:
        validate_condition(data["condition"])
        with _trial():
            _make(data, actor)
        refuse_storm(_text(0, data), data.get("confirm"))
    hold_in_transaction(ACTIVATION)
    return _make(data, actor)


def _make(data: Mapping[str, Any], actor: str) -> Rule:
    rule = Rule(
        name=data["name"], state=data["state"], swept_until=utcnow(), priority=data.get("priority", 0)
    )
    rule.schedule, rule.daily_at = data.get("schedule", Schedule.EVENTS), data.get("daily_at")
    _check_schedule(rule)
    session().add(rule)
    session().flush()
    _write_version(rule, data, actor)
    _settle_down(rule)
    return rule


def change_rule(rule_id: int, data: Mapping[str, Any], actor: str, expected: int | None = None) -> Rule:
    """Another name, state or text; another text is a new version.

    :param expected: the version the caller looked at; another one meanwhile is a Conflict
    :raises Conflict: it would touch so many customers that somebody has to confirm
    """
    turns = _may_turn(rule_id, data)
    if turns or _may_storm(rule_id, data):
        with _trial():
            _change(rule_id, data, actor, expected)
        _refuse_storm_of_change(rule_id, data)
    hold_in_transaction(ACTIVATION)
    rule, priority = _change(rule_id, data, actor, expected)
    if rule.priority != priority:
        want_settling(exclusive_groups_of(rule.id))
    return rule


def _change(rule_id: int, data: Mapping[str, Any], actor: str, expected: int | None) -> tuple[Rule, int]:
    """The rule as changed, and its priority before."""
    rule = _living(rule_id)
    if expected is not None and expected != rule.version:
        raise Conflict(f"rule {rule_id} is at version {rule.version}, not {expected}; look at it again")
    before = {name: getattr(rule, name) for name in RULE_FIELDS}
    for name in RULE_FIELDS:
        setattr(rule, name, data.get(name, before[name]))
    if rule.state != before["state"]:
        rule.error = None
        rule.swept_until = utcnow() if rule.state == RuleState.ACTIVE else rule.swept_until
    _check_schedule(rule)
    if any(name in data for name in TEXT_FIELDS):
        _write_next_version(rule, data, actor)
    _log(rule, before, actor)
    _settle_down(rule)
    return rule, before["priority"]


@contextmanager
def _trial() -> Iterator[None]:
    """What is done within is taken back: whatever is wrong with it is said before anybody is asked to confirm numbers."""
    savepoint = session().begin_nested()
    try:
        yield
    finally:
        savepoint.rollback()


def restore_version(rule_id: int, version: int, actor: str, confirm: str | None = None) -> Rule:
    """Say again what the rule said at an older version; that is a new version with the old text.

    :raises NotFound: no such version
    :raises Conflict: as for :func:`change_rule`
    """
    statement = select(RuleVersion).filter_by(rule_id=rule_id, version=version)
    old = session().scalars(statement).one_or_none()
    if old is None:
        raise NotFound(f"rule {rule_id} has no version {version}")
    text = {name: getattr(old, name) for name in TEXT_FIELDS}
    return change_rule(rule_id, {**text, "restored_from": version, "confirm": confirm}, actor)


def _may_storm(rule_id: int, data: Mapping[str, Any]) -> bool:
    """Whether the change gives an active rule another text, or makes one active."""
    rule, text, present = _changed_text(rule_id, data)
    becomes_active = rule.state != RuleState.ACTIVE
    says_else = any(text[name] != getattr(present, name) for name in TEXT_FIELDS)
    return data.get("state", rule.state) == RuleState.ACTIVE and (becomes_active or says_else)


def _may_turn(rule_id: int, data: Mapping[str, Any]) -> bool:
    """Whether the change gives the rule another priority, which decides in exclusive groups whatever its state."""
    rule, _, _ = _changed_text(rule_id, data)
    return bool(data.get("priority", rule.priority) != rule.priority)


def _refuse_storm_of_change(rule_id: int, data: Mapping[str, Any]) -> None:
    """Counts before the lock is taken, which everybody who changes facts would wait for."""
    rule, text, _ = _changed_text(rule_id, data)
    validate_condition(text["condition"])
    changed, confirm = _text(rule_id, text), data.get("confirm")
    if _may_storm(rule_id, data):
        refuse_storm(changed, confirm)
    if _may_turn(rule_id, data):
        refuse_storm_of_order(changed, rule.priority, data["priority"], confirm)


def _changed_text(rule_id: int, data: Mapping[str, Any]) -> tuple[Rule, dict[str, Any], RuleVersion]:
    """The rule, the text it would have, and the version it is at."""
    rule = session().get(Rule, rule_id, populate_existing=True)
    if rule is None or rule.deleted_at is not None:
        raise NotFound(f"there is no rule {rule_id}")
    present = _version(rule)
    return rule, {name: data.get(name, getattr(present, name)) for name in TEXT_FIELDS}, present


def _text(rule_id: int, text: Mapping[str, Any]) -> RuleText:
    condition = versioned(text["condition"])
    return RuleText(rule_id, 0, condition, text["add_tag_ids"], text["remove_tag_ids"], text["keep"])


def _check_schedule(rule: Rule) -> None:
    if rule.schedule != Schedule.EVENTS and not rule.daily_at:
        raise InvalidInput.field("daily_at", f"must be a time such as 09:30: the schedule is {rule.schedule}")


def _log(rule: Rule, before: Mapping[str, Any], actor: str) -> None:
    changes = {n: [before[n], getattr(rule, n)] for n in RULE_FIELDS if before[n] != getattr(rule, n)}
    if changes:
        session().add(RuleChange(rule_id=rule.id, by=actor, changes=changes, at=utcnow()))


def _settle_down(rule: Rule) -> None:
    """What follows from a rule's new state and text."""
    schedule_next(rule)
    session().flush()
    own = f"this rule ({rule.name}) gives"
    found = rival_rules(rule_id=rule.id)
    for problem in found:
        if problem.startswith(own) and "give one of them" not in problem:
            raise InvalidInput.field("add_tag_ids", problem)
    if found and rule.state == RuleState.ACTIVE:
        raise InvalidInput.field("priority", "; ".join(found))


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


def start_backfill(rule_id: int, confirm: str | None = None, actor: str | None = None) -> RuleRun:
    """Apply an active rule to all customers, in the background.

    :raises Conflict: the rule is not active, another run of it is not finished, or it would touch so many customers
        that somebody has to confirm
    """
    known = session().get(Rule, rule_id, populate_existing=True)
    if known is not None and known.state == RuleState.ACTIVE:
        present = _version(known)
        refuse_storm(_text(rule_id, {n: getattr(present, n) for n in TEXT_FIELDS}), confirm)
    hold_in_transaction(ACTIVATION)
    rule = _living(rule_id)
    if rule.state != RuleState.ACTIVE:
        raise Conflict(f"rule {rule_id} is {rule.state}; make it active first")
    _refuse_open_run(rule_id)
    return _start(rule, RunKind.BACKFILL, actor)


def start_undo(rule_id: int, run_id: int, actor: str) -> RuleRun:
    """Restore what a backfill changed, in the background. The rule is paused by ``actor``, or it would do it again.

    :raises Conflict: the run is not finished, or was undone
    """
    hold_in_transaction(ACTIVATION)
    rule = _living(rule_id)
    run = session().get(RuleRun, run_id, with_for_update=True, populate_existing=True)
    if run is None or run.rule_id != rule_id or run.kind not in LOOKING:
        raise NotFound(f"rule {rule_id} has no backfill {run_id}")
    if run.state not in (RunState.DONE, RunState.FAILED, RunState.CANCELLED):
        raise Conflict(f"run {run_id} is {run.state}; only a finished one can be undone")
    _refuse_open_run(rule_id)
    before = {name: getattr(rule, name) for name in RULE_FIELDS}
    if rule.state == RuleState.ACTIVE:
        rule.state, rule.error = RuleState.PAUSED, f"paused by the undo of run {run_id}"
        rule.daily_next = None
    _log(rule, before, actor)
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
    _write_version(rule, {**text, "restored_from": data.get("restored_from")}, actor)


def _write_version(rule: Rule, text: Mapping[str, Any], actor: str) -> None:
    if not text["add_tag_ids"] and not text["remove_tag_ids"]:
        raise InvalidInput.field("add_tag_ids", "give at least one tag to add or to remove")
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
        expire_after_days=text.get("expire_after_days"),
        restored_from=text.get("restored_from"),
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


def _start(rule: Rule, kind: RunKind, actor: str | None = None) -> RuleRun:
    run = RuleRun(rule_id=rule.id, kind=kind, version=rule.version, state=RunState.QUEUED, started_by=actor)
    session().add(run)
    session().flush()
    publish(RuleRunWanted(run.id))
    return run
