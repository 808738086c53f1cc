"""Reading runs: lists, reports, progress; and whether there is something to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Select, func, select, text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.paging import paginate
from scrm.kernel.permissions import Scope
from scrm.staff.models import Staff
from scrm.sync.models import AT_WORK, OPEN, PartState, RunState, SyncPart, SyncRun
from scrm.sync.service.finishing import report
from scrm.sync.service.moving import needs, work_waits
from scrm.sync.service.runs import has_part, open_run
from scrm.sync.service.tally import Tally
from scrm.wecom.errors import explain

UNTOLD = {
    "customers": "*", "contact_ways": "*", "join_ways": "*", "group_templates": "*", "kf_servicers": "*",
    "members": {"alias"}, "group_members": {"name", "group_nickname", "unionid"},
    "kf_accounts": {"name", "avatar"},
}  # fmt: skip
"""Changes of which WeCom sends no event, so that finding them is no sign of a lost one (wecom-api.md section 3)."""


def work_is_due() -> bool:
    """Whether a worker could do something for the open run now."""
    run = open_run()
    if run is None or run.state not in AT_WORK:
        return False
    return work_waits(run) is not None or not any(has_part(run, need.ready) for need in needs(run))


def new_members() -> list[str]:
    """Userids of members who serve customers and whose customers no run has tried to read."""
    return list(session().scalars(_NEW_MEMBERS))


_NEW_MEMBERS = text("""
SELECT userid FROM staff WHERE follows_customers AND left_at IS NULL AND userid NOT LIKE '%#%'
AND NOT EXISTS (SELECT FROM sync_members m WHERE m.staff_id = staff.id) ORDER BY id LIMIT 1000
""")


def new_members_due() -> bool:
    """Whether such members wait and no run is open that would read them."""
    return open_run() is None and bool(new_members())


def run_page(query: Mapping[str, Any]) -> dict[str, Any]:
    """A page of runs, newest first."""
    return paginate(select(SyncRun), SyncRun.id, query)


def run_by_id(run_id: int) -> SyncRun:
    """One run; raises NotFound."""
    found = session().get(SyncRun, run_id, populate_existing=True)
    if found is None:
        raise NotFound(f"there is no sync run {run_id}")
    return found


def newest_run() -> SyncRun:
    """The run begun last; raises NotFound when there was none."""
    found: SyncRun | None = (
        session().scalars(select(SyncRun).order_by(SyncRun.id.desc()).limit(1)).one_or_none()
    )
    if found is None:
        raise NotFound("there was no sync yet; `scrm sync` begins one")
    return found


def run_report(run_id: int, scope: Scope) -> dict[str, Any]:
    """Everything known of a run: state, progress, counts by entity, failures with what to do, drift.

    :param scope: a limited one sees no failures of other members and no samples of ids
    """
    run = run_by_id(run_id)
    counts = run.counts if run.counts is not None else report(run)
    return {
        **{
            column.key: getattr(run, column.key)
            for column in SyncRun.__table__.columns
            if column.key != "counts"
        },
        "progress": progress(run),
        "counts": _shown(counts, scope),
        "failures": failures(run, scope),
        "drift": drift(run, counts, scope),
    }


def _shown(counts: Tally, scope: Scope) -> Tally:
    rows = {
        name: {**row, "untouched": max(0, row["seen"] - row["new"] - row["changed"])}
        for name, row in counts.items()
    }
    if not scope.everyone:
        rows = {name: {**row, "samples": {}} for name, row in rows.items()}
    return rows


def progress(run: SyncRun) -> dict[str, Any]:
    """How far it is: parts, rows, rows a second, and seconds left where they can be guessed."""
    columns = select(
        func.count(), func.count().filter(SyncPart.state != PartState.WAITING), func.coalesce(func.sum(SyncPart.rows), 0),
        func.count().filter(SyncPart.state.in_([PartState.APPLIED, PartState.CLOSED, PartState.FAILED])),
    ).where(SyncPart.run_id == run.id, SyncPart.state != PartState.SPLIT)  # fmt: skip
    parts, read, rows, applied = session().execute(columns).one()
    if run.state not in OPEN:
        return {"parts": None, "parts_read": None, "parts_applied": None, "rows": _rows(run), "rows_per_second": None,
                "seconds_left": 0.0, "seconds": _seconds(run)}  # fmt: skip
    seconds = max(0.001, (utcnow() - run.created_at).total_seconds())
    return {
        "parts": parts, "parts_read": read, "parts_applied": applied, "rows": int(rows),
        "rows_per_second": round(int(rows) / seconds, 1), "seconds_left": _left(run, int(rows), seconds, applied, parts),
        "seconds": round(seconds, 1),
    }  # fmt: skip


def _seconds(run: SyncRun) -> float | None:
    return round((run.finished_at - run.created_at).total_seconds(), 1) if run.finished_at else None


def _rows(run: SyncRun) -> int | None:
    return sum(row["seen"] for row in run.counts.values()) if run.counts else None


def _left(run: SyncRun, rows: int, seconds: float, applied: int, parts: int) -> float | None:
    """Seconds left of the present state: by the rows we know of while reading, by parts while applying."""
    if run.state is RunState.READING and rows and run.expected > rows:
        return round((run.expected - rows) * seconds / rows, 1)
    since = max(0.001, (utcnow() - run.state_at).total_seconds())
    if run.state is RunState.APPLYING and applied:
        return round((parts - applied) * since / applied, 1)
    return None


def failures(run: SyncRun, scope: Scope) -> list[dict[str, Any]]:
    """What could not be read, by member (or other key) and errcode, with what to do in Chinese and English."""
    rows = session().scalars(_failed(run)).all()
    found = [one for part in rows for one in _failures_of(part)]
    if not scope.everyone:
        mine = set(session().scalars(select(func.lower(Staff.userid)).where(Staff.id.in_(scope.staff_ids))))
        found = [one for one in found if one["key"].lower() in mine]
    return sorted(found, key=lambda one: (one["entity"], one["errcode"] or 0, one["key"]))


def _failed(run: SyncRun) -> Select[Any]:
    hurt = (SyncPart.state == PartState.FAILED) | (func.jsonb_array_length(SyncPart.failures) > 0)
    return select(SyncPart).where(SyncPart.run_id == run.id, hurt).order_by(SyncPart.id)


def _failures_of(part: SyncPart) -> Iterable[dict[str, Any]]:
    if part.state is PartState.FAILED:
        for key in part.keys or [""]:
            yield _failure(part.entity, key, part.errcode, part.error or "")
        return
    for row in part.failures:
        yield _failure(part.entity, row["key"], row["errcode"], row["reason"])


def _failure(entity: str, key: str, errcode: int | None, reason: str) -> dict[str, Any]:
    row = explain(errcode) if errcode is not None else None
    return {
        "entity": entity, "key": key, "errcode": errcode, "reason": reason,
        "zh": _advice_zh(row, errcode), "en": _advice_en(row, errcode), "page": row.page if row else None,
    }  # fmt: skip


def _advice_zh(row: Any, errcode: int | None) -> str:
    if row is None:
        return (
            "企业微信没有给出可读的答复，下次同步会重试"
            if errcode is None
            else f"未知错误码 {errcode}，请查企业微信文档"
        )
    if row.page:
        return f"{row.zh}：请在管理后台「{row.page}」修改，然后重新同步"
    return f"{row.zh}：下次同步会重试" if row.kind != "stop" else row.zh


def _advice_en(row: Any, errcode: int | None) -> str:
    if row is None:
        return "WeCom gave no readable answer; the next sync tries again" if errcode is None else (
            f"unknown errcode {errcode}; see WeCom's documentation")  # fmt: skip
    if row.page:
        return f"{row.en}: change it in the admin console under {row.page}, then sync again"
    return f"{row.en}: the next sync tries again" if row.kind != "stop" else row.en


def drift(run: SyncRun, counts: Tally, scope: Scope) -> dict[str, Any]:
    """What differed although events should have told it since the last complete run.

    Changes that WeCom never tells (a customer's own name, who serves in customer service) are left out, and so is what
    no complete run had read before.

    :returns: ``since`` (the end of the last run that was done; None: this is the first, so nothing is drift) and
        ``entities``: {entity: {"new", "changed", "gone", "fields", "samples"}}
    """
    before = SyncRun.id < run.id, SyncRun.state == RunState.DONE, ~SyncRun.dry_run
    last = session().scalar(select(func.max(SyncRun.finished_at)).where(*before))
    if last is None:
        return {"since": None, "entities": {}}
    every_member = func.cardinality(SyncRun.members) == 0
    known = set(
        session().scalars(select(func.jsonb_object_keys(SyncRun.counts)).where(*before, every_member))
    )
    told = {name for name in counts if UNTOLD.get(name) != "*"}
    found = {name: _drifted(name, counts[name]) for name in sorted(told & known)}
    kept = {name: row for name, row in found.items() if row["new"] or row["changed"] or row["gone"]}
    if not scope.everyone:
        kept = {name: {**row, "samples": {}} for name, row in kept.items()}
    return {"since": last, "entities": kept}


def _drifted(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    untold = UNTOLD.get(name, set())
    fields = {key: number for key, number in row["fields"].items() if key not in untold}
    only_untold = bool(row["fields"]) and not fields
    return {
        "new": row["new"], "changed": 0 if only_untold else row["changed"], "gone": row["gone"],
        "fields": fields, "samples": row["samples"],
    }  # fmt: skip
