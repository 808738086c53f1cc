"""Beginning a run, and following it with a bar while workers, or this command, do it."""

from __future__ import annotations

import getpass
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rq import Worker

from config.queues import Queue
from scrm.cli.console import log_aside
from scrm.kernel.db import session, transaction
from scrm.kernel.redis import redis
from scrm.sync import jobs, queries
from scrm.sync.models import AT_WORK, RepairTags, RunState
from scrm.sync.service import runs
from scrm.sync.service.runs import Wish

ASK_SECONDS = 0.5
OWN_SECONDS = 2.0  # worked in this process between two looks at the bar
SILENT_SECONDS = 60  # an idle worker says something every 15 s
WORDS = {
    RunState.READING: "reading 读取", RunState.COMPARING: "comparing 比对", RunState.APPLYING: "applying 写入",
    RunState.WAITING_FOR_PERSON: "waiting 待确认", RunState.DONE: "done 完成", RunState.FAILED: "failed 失败",
    RunState.CANCELLED: "cancelled 已取消",
}  # fmt: skip


def begin(only: Sequence[str], *, dry_run: bool, repair_tags: str) -> int:
    """Begin a run; returns its id. Raises Conflict while another is at work."""
    wish = Wish(by=_who(), entities=only, dry_run=dry_run, repair_tags=RepairTags(repair_tags))
    with transaction():
        return runs.start_run(wish).id


def decide(run_id: int, *, confirmed: bool) -> None:
    """Confirm or cancel a run."""
    with transaction():
        (runs.confirm_run if confirmed else runs.cancel_run)(run_id, _who())


def _who() -> str:
    return f"cli:{getpass.getuser()}"


def follow(run_id: int, *, quiet: bool) -> None:
    """Until the run is over or waits for a person; works on it here when no worker does."""
    console = Console(stderr=True, quiet=quiet)
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[rate]}"), TextColumn("{task.fields[left]}"),
    )  # fmt: skip
    with log_aside(console), Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=1.0, rate="", left="")
        while _still_at_work(run_id, bar, task):
            if _workers() or not jobs.work(OWN_SECONDS):
                time.sleep(ASK_SECONDS)


def _still_at_work(run_id: int, bar: Progress, task: TaskID) -> bool:
    run = queries.run_by_id(run_id)
    seen = queries.progress(run)
    session().rollback()  # nothing is open while we wait
    rate, left = _figures(seen)
    bar.update(task, description=WORDS[run.state], completed=_share(run.state, seen), rate=rate, left=left)
    return run.state in AT_WORK


def _share(state: RunState, seen: dict[str, Any]) -> float:
    """How far the present state is: while reading by time where that is known, else by parts."""
    if state is RunState.READING:
        if seen["seconds_left"] is not None:
            return float(seen["seconds"] / (seen["seconds"] + seen["seconds_left"]))
        return seen["parts_read"] / max(1, seen["parts"])  # type: ignore[no-any-return]
    if state is RunState.APPLYING:
        return seen["parts_applied"] / max(1, seen["parts"])  # type: ignore[no-any-return]
    return 0.0 if state is RunState.COMPARING else 1.0


def _figures(seen: dict[str, Any]) -> tuple[str, str]:
    rate, left = seen["rows_per_second"], seen["seconds_left"]
    rows = f"{seen['rows'] or 0:,} rows" + (f", {rate:,.0f}/s" if rate else "")
    return rows, f"about {left:.0f} s left" if left else ""


def _workers() -> bool:
    """Whether some worker serves the queue of syncs."""
    now = datetime.now(UTC)
    for worker in Worker.all(connection=redis()):
        beat = worker.last_heartbeat
        alive = beat is not None and (now - beat.replace(tzinfo=UTC)).total_seconds() < SILENT_SECONDS
        if alive and Queue.BACKGROUND.value in worker.queue_names():
            return True
    return False
