"""A run's report as tables, Chinese first; and the exit code it deserves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import click

from scrm.cli.console import print_json, print_table
from scrm.cli.exits import PROBLEM, WELL
from scrm.kernel.permissions import Scope
from scrm.sync.models import RunState
from scrm.sync.queries import run_report
from scrm.sync.service.guard import WORDS

NAMES = {**WORDS, "customers": ("客户", "customers"), "kf_servicers": ("客服接待人员", "servicers")}
ORDER = (
    "departments", "members", "follow_users", "tags", "customers", "follows", "customer_tags", "groups",
    "group_members", "contact_ways", "join_ways", "group_templates", "kf_accounts", "kf_servicers",
)  # fmt: skip
COLUMNS = ("对象\nentity", "读取\nseen", "新增\nnew", "变更\nchanged", "消失\ngone", "未变\nuntouched")
KEYS_SHOWN = 5


def conclude(run_id: int, *, as_json: bool) -> int:
    """Print the report of a run; the exit code says whether somebody has something to do."""
    report = run_report(run_id, Scope.all())
    if as_json:
        print_json(report)
    else:
        _show(report)
    well = report["state"] not in {RunState.FAILED, RunState.WAITING_FOR_PERSON} and not report["failures"]
    return WELL if well else PROBLEM


def _show(report: Mapping[str, Any]) -> None:
    dry = " (试运行 dry run)" if report["dry_run"] else ""
    counts = report["counts"]
    rows = [_count_row(name, counts[name]) for name in ORDER if name in counts]
    print_table(f"同步 sync run {report['id']}: {report['state']}{dry}", COLUMNS, rows)
    for name in ORDER:
        if name in counts and counts[name]["fields"]:
            fields = ", ".join(
                f"{field} {number}" for field, number in sorted(counts[name]["fields"].items())
            )
            click.echo(f"{_named(name)}: {fields}")
    if report["error"]:
        click.echo(report["error"])
    _show_failures(report["failures"])
    _show_drift(report["drift"])
    if report["state"] is RunState.WAITING_FOR_PERSON:
        _show_guard(report["id"], report["guard"])


def _count_row(name: str, row: Mapping[str, Any]) -> Sequence[object]:
    return [_named(name), *(f"{row[kind]:,}" for kind in ("seen", "new", "changed", "gone", "untouched"))]


def _named(name: str) -> str:
    return f"{NAMES.get(name, (name, name))[0]} {name}"


def _show_failures(failures: Sequence[Mapping[str, Any]]) -> None:
    if not failures:
        return
    grouped: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for one in failures:
        grouped[one["entity"], one["errcode"], one["zh"], one["en"]].append(one["key"])
    rows = [
        (_named(entity), errcode, len(keys), ", ".join(keys[:KEYS_SHOWN]) + (" …" if len(keys) > KEYS_SHOWN else ""), f"{zh}\n{en}")
        for (entity, errcode, zh, en), keys in grouped.items()
    ]  # fmt: skip
    print_table("失败 failed", ("entity", "errcode", "number", "members or ids", "处理 what to do"), rows)


def _show_drift(drift: Mapping[str, Any]) -> None:
    rows = [
        (_named(name), row["new"], row["changed"], row["gone"], _samples(row["samples"]))
        for name, row in sorted(drift["entities"].items())
    ]
    if rows:
        title = f"drift since {drift['since']:%Y-%m-%d %H:%M} UTC: events should have told this 事件遗漏"
        print_table(title, ("entity", "new", "changed", "gone", "ids"), rows)


def _samples(samples: Mapping[str, Sequence[Any]]) -> str:
    return "; ".join(
        f"{kind}: {', '.join(map(str, ids[:KEYS_SHOWN]))}" for kind, ids in sorted(samples.items())
    )


def _show_guard(run_id: int, guard: Mapping[str, Any]) -> None:
    click.echo("此次同步已暂停，以下内容将消失，请人工确认 / stopped, because this would vanish:")
    for name, row in sorted(guard.items()):
        click.echo(f"  {_named(name)}: {row['gone']} / {row['of']} ({row['share']:.1%})")
    click.echo(f"scrm sync confirm {run_id} 继续   |   scrm sync cancel {run_id} 放弃")
