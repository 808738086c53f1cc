"""`scrm transfers list|show|unassigned`: who hands over whom, what became of it, and who is looked after by nobody."""

from __future__ import annotations

from typing import Any

import click

from scrm.kernel.storable import BIGGEST

STATES = click.Choice(["draft", "active", "paused", "done", "cancelled"])
COLUMNS = ("id", "kind", "state", "from_userid", "items", "open", "made_by", "created_at", "error")
LEFT = (
    "staff_id", "userid", "age_days", "customers", "customers_unplanned", "customers_back", "groups",
    "groups_unplanned", "draft_plan_id",
)  # fmt: skip
OPEN = ("planned", "asked", "waiting")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


@click.group()
def transfers_group() -> None:
    """Customers and groups that go from one member to another (在职继承, 离职继承).

    \b
    Example: scrm transfers unassigned
    """


@transfers_group.command("list")
@click.option("--state", type=STATES, help="Only plans in this state.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@AS_JSON
def list_plans(state: str | None, limit: int, as_json: bool) -> None:
    """List plans, newest first.

    \b
    Example: scrm transfers list --state active --json
    """
    from scrm.cli.application import application, attached_settings
    from scrm.cli.console import print_json, print_table
    from scrm.kernel.permissions import Scope
    from scrm.transfers.queries.plans import plan_page

    with application("transfers", settings=attached_settings()).app_context():
        plans = plan_page(Scope.all(), {"state": state, "limit": limit})["items"]
        rows = [_brief(plan) for plan in plans]
    if as_json:
        print_json(rows)
    else:
        print_table(f"{len(rows)} plans", COLUMNS, [[row[name] for name in COLUMNS] for row in rows])


@transfers_group.command("show")
@click.argument("plan_id", type=click.IntRange(1, BIGGEST))
@AS_JSON
def show_plan(plan_id: int, as_json: bool) -> None:
    """Show one plan: who gets how many, and what became of them and why.

    \b
    Example: scrm transfers show 12
    """
    from scrm.cli.application import application, attached_settings
    from scrm.cli.console import print_json, print_table
    from scrm.kernel.permissions import Scope
    from scrm.transfers.queries.plans import plan_detail, plan_preview, plan_results

    with application("transfers", settings=attached_settings()).app_context():
        plan = _brief(plan_detail(plan_id, Scope.all()))
        preview, results = plan_preview(plan_id, Scope.all()), plan_results(plan_id, Scope.all())
    shown = {**plan, "preview": preview, "results": _worded(results)}
    if as_json:
        print_json(shown)
        return
    print_table(f"plan {plan_id}", ("field", "value"), plan.items())
    receivers = [(each["userid"], each["customers"], each["groups"]) for each in preview["receivers"]]
    print_table("receivers", ("userid", "customers", "groups"), receivers)
    told = [(each["state"], each["number"], each["words"]) for each in shown["results"]["reasons"]]
    print_table("why", ("state", "number", "reason"), told)


@transfers_group.command("unassigned")
@AS_JSON
def list_unassigned(as_json: bool) -> None:
    """Members who left and still have customers or groups, longest gone first.

    \b
    Example: scrm transfers unassigned --json
    """
    from scrm.cli.application import application, attached_settings
    from scrm.cli.console import print_json, print_table
    from scrm.transfers.queries.unassigned import left_members

    with application("transfers", settings=attached_settings()).app_context():
        rows = left_members()
    if as_json:
        print_json(rows)
    else:
        print_table(f"{len(rows)} members who left", LEFT, [[row[name] for name in LEFT] for row in rows])


def _brief(plan: Any) -> dict[str, Any]:
    told = {"items": sum(plan.totals.values()), "open": sum(plan.totals.get(state, 0) for state in OPEN)}
    return {
        **{name: getattr(plan, name) for name in COLUMNS if name not in told},
        **told,
        "totals": plan.totals,
    }


def _worded(results: dict[str, Any]) -> dict[str, Any]:
    from scrm.transfers.service.reasons import words_of

    def words(each: dict[str, Any]) -> str:
        told = words_of(each["reason"], each["errcode"])
        return f"{told['zh']} / {told['en']}" if told else ""

    return {**results, "reasons": [{**each, "words": words(each)} for each in results["reasons"]]}
