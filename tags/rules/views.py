"""Rules in the API."""

from __future__ import annotations

from typing import Any

from flask import request

from scrm.kernel.db import transaction
from scrm.kernel.errors import InvalidInput
from scrm.kernel.http import PageQuery, api_blueprint, idempotent, page_schema
from scrm.kernel.permissions import Permission, current_actor, needs
from tags.rules.compiler import validate_condition
from tags.rules.condition_schema import condition_schema
from tags.rules.queries import previews, rules, runs
from tags.rules.queries.veiling import refuse_unreadable
from tags.rules.schemas import (
    ConfirmIn,
    ExplainIn,
    ExplainOut,
    PreviewIn,
    PreviewOut,
    RuleChange,
    RuleChangeOut,
    RuleIn,
    RuleOut,
    RuleQuery,
    RuleVersionList,
    RunOut,
)
from tags.rules.service import controlling, saving

blueprint = api_blueprint("rules", "标签规则 rules that set and take away tags")


@blueprint.route("/rules")
@needs(Permission.RULES_READ)
@blueprint.arguments(RuleQuery, location="query")
@blueprint.response(200, page_schema(RuleOut))
def list_rules(query: dict[str, Any]) -> dict[str, Any]:
    """Rules, newest first."""
    return rules.rule_page(current_actor(), query)


@blueprint.route("/rules", methods=["POST"])
@needs(Permission.RULES_WRITE)
@idempotent
@blueprint.arguments(RuleIn)
@blueprint.response(201, RuleOut)
def create_rule(data: dict[str, Any]) -> dict[str, Any]:
    """Make a rule. Active, it follows every change from now on; a backfill applies it to customers there are.

    An active one that would touch a large part of the base is refused with 409 ``rule-storm``, the numbers and a token
    for ``confirm``; so are changes and backfills.
    """
    _require_everyone()
    refuse_unreadable(current_actor(), data["condition"])
    return rules.rule_detail(current_actor(), saving.create_rule(data, current_actor().name).id)


@blueprint.route("/rules/condition-schema")
@needs(Permission.RULES_READ)
@blueprint.response(200)
def get_condition_schema() -> dict[str, Any]:
    """The condition language as JSON Schema."""
    return condition_schema()


@blueprint.route("/rules/preview", methods=["POST"])
@needs(Permission.RULES_READ)
@blueprint.arguments(PreviewIn)
@blueprint.response(200, PreviewOut)
def preview_rule(data: dict[str, Any]) -> dict[str, Any]:
    """What a rule would do now to the customers this key may see, without doing it."""
    with transaction():
        refuse_unreadable(current_actor(), data["condition"])
        validate_condition(data["condition"])
        return previews.preview(current_actor(), data)


@blueprint.route("/rules/<int:rule_id>")
@needs(Permission.RULES_READ)
@blueprint.response(200, RuleOut)
def get_rule(rule_id: int) -> dict[str, Any]:
    """One rule."""
    return rules.rule_detail(current_actor(), rule_id)


@blueprint.route("/rules/<int:rule_id>", methods=["PATCH"])
@needs(Permission.RULES_WRITE)
@blueprint.arguments(RuleChange)
@blueprint.response(200, RuleOut)
def change_rule(data: dict[str, Any], rule_id: int) -> dict[str, Any]:
    """Change a rule; another text is a new version. ``If-Match: <version>`` refuses what overtook you."""
    _require_everyone()
    with transaction():
        if "condition" in data:
            refuse_unreadable(current_actor(), data["condition"])
        saving.change_rule(rule_id, data, current_actor().name, _expected_version())
    return rules.rule_detail(current_actor(), rule_id)


@blueprint.route("/rules/<int:rule_id>", methods=["DELETE"])
@needs(Permission.RULES_WRITE)
@blueprint.response(204)
def delete_rule(rule_id: int) -> None:
    """Delete a rule; the tags it set go in the background, unless it keeps them."""
    _require_everyone()
    with transaction():
        saving.delete_rule(rule_id)


@blueprint.route("/rules/<int:rule_id>/versions")
@needs(Permission.RULES_READ)
@blueprint.response(200, RuleVersionList)
def list_rule_versions(rule_id: int) -> dict[str, Any]:
    """What the rule said at each version."""
    return {"items": rules.rule_versions(current_actor(), rule_id)}


@blueprint.route("/rules/<int:rule_id>/versions/<int:version>/activate", methods=["POST"])
@needs(Permission.RULES_WRITE)
@blueprint.arguments(ConfirmIn)
@blueprint.response(200, RuleOut)
def restore_rule_version(data: dict[str, Any], rule_id: int, version: int) -> dict[str, Any]:
    """Say again what the rule said at an older version: a new version with the old text."""
    _require_everyone()
    with transaction():
        refuse_unreadable(current_actor(), rules.condition_at(rule_id, version))
        saving.restore_version(rule_id, version, current_actor().name, data["confirm"])
    return rules.rule_detail(current_actor(), rule_id)


@blueprint.route("/rules/<int:rule_id>/changes")
@needs(Permission.RULES_READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(RuleChangeOut))
def list_rule_changes(query: dict[str, Any], rule_id: int) -> dict[str, Any]:
    """Who changed name, state, priority or schedule, newest first."""
    return rules.rule_changes(rule_id, query)


@blueprint.route("/rules/<int:rule_id>/explain", methods=["POST"])
@needs(Permission.RULES_READ)
@blueprint.arguments(ExplainIn)
@blueprint.response(200, ExplainOut)
def explain_rule(data: dict[str, Any], rule_id: int) -> dict[str, Any]:
    """Whether the rule holds for one customer, and which part of it does not."""
    return rules.explanation(current_actor(), rule_id, data["customer_id"], data["language"])


@blueprint.route("/rules/<int:rule_id>/backfill", methods=["POST"])
@needs(Permission.RULES_WRITE)
@idempotent
@blueprint.arguments(ConfirmIn)
@blueprint.response(202, RunOut)
def backfill_rule(data: dict[str, Any], rule_id: int) -> dict[str, Any]:
    """Apply an active rule to all customers, in the background; follow it under ``runs``."""
    _require_everyone()
    return runs.run_shown(saving.start_backfill(rule_id, data["confirm"], current_actor().name))


@blueprint.route("/rules/<int:rule_id>/runs")
@needs(Permission.RULES_READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(RunOut))
def list_rule_runs(query: dict[str, Any], rule_id: int) -> dict[str, Any]:
    """Backfills of a rule, newest first."""
    _require_everyone()
    return runs.run_page(rule_id, query)


@blueprint.route("/rules/<int:rule_id>/runs/<int:run_id>")
@needs(Permission.RULES_READ)
@blueprint.response(200, RunOut)
def get_rule_run(rule_id: int, run_id: int) -> dict[str, Any]:
    """How far a backfill is and what it changed."""
    _require_everyone()
    return runs.run_detail(rule_id, run_id)


@blueprint.route("/rules/<int:rule_id>/runs/<int:run_id>/undo", methods=["POST"])
@needs(Permission.RULES_WRITE)
@blueprint.response(202, RunOut)
def undo_rule_run(rule_id: int, run_id: int) -> dict[str, Any]:
    """Restore what a backfill changed. The rule is paused, or it would do it again."""
    _require_everyone()
    with transaction():
        run = saving.start_undo(rule_id, run_id, current_actor().name)
    return runs.run_shown(run)


@blueprint.route("/rules/<int:rule_id>/runs/<int:run_id>/pause", methods=["POST"])
@needs(Permission.RULES_WRITE)
@blueprint.response(200, RunOut)
def pause_rule_run(rule_id: int, run_id: int) -> dict[str, Any]:
    """Let a run rest; ``resume`` goes on where it stopped."""
    _require_everyone()
    with transaction():
        run = controlling.pause_run(rule_id, run_id)
    return runs.run_shown(run)


@blueprint.route("/rules/<int:rule_id>/runs/<int:run_id>/resume", methods=["POST"])
@needs(Permission.RULES_WRITE)
@blueprint.response(200, RunOut)
def resume_rule_run(rule_id: int, run_id: int) -> dict[str, Any]:
    """Let a paused run go on."""
    _require_everyone()
    with transaction():
        run = controlling.resume_run(rule_id, run_id)
    return runs.run_shown(run)


@blueprint.route("/rules/<int:rule_id>/runs/<int:run_id>/cancel", methods=["POST"])
@needs(Permission.RULES_WRITE)
@blueprint.response(200, RunOut)
def cancel_rule_run(rule_id: int, run_id: int) -> dict[str, Any]:
    """End a backfill for good; what it did stays and can be undone."""
    _require_everyone()
    with transaction():
        run = controlling.cancel_run(rule_id, run_id)
    return runs.run_shown(run)


def _require_everyone() -> None:
    """Rules tag everybody's customers, and their storm guards and runs count them: nothing for a key with a data scope."""
    current_actor().require_everyone("a rule sets tags of")


def _expected_version() -> int | None:
    given = request.headers.get("If-Match", "").strip().removeprefix("W/").strip('"')
    if not given or given == "*":
        return None
    if not given.isdecimal():
        raise InvalidInput.field("If-Match", "must be the rule's version, such as 3")
    return int(given)
