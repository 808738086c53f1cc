"""Mass-delete alarms: a member deletes many customers within a short time.

Deletions of one member fall into runs: a run ends when a whole window passes without one. A run in which some window
holds ``alarm_count`` deletions has one alarm, from the first of these deletions to the last of the run. Runs are worked
out of all deletions known, so late ones make, stretch and join alarms exactly as if they had come in time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import text, update

from scrm.alerts.service import Alert, alert
from scrm.kernel.clock import in_zone, utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, NotFound
from scrm.kernel.permissions import Scope
from scrm.kernel.settings import settings
from scrm.losses.models import LossAlarm
from scrm.losses.service.summing import sum_up

KIND = "mass_delete"


def watch(deletions: Sequence[tuple[int, datetime]], news: timedelta) -> None:
    """Make alarms what the deletions around these say, and tell the new ones.

    :param deletions: (staff id, moment) of deletions that are new or changed
    :param news: alarms that ended longer ago are kept and shown only
    """
    if not settings().losses.alarm_count:
        session().execute(_CALM)
        return
    doubtful = session().execute(_DOUBTFUL).all()
    spans = _spans([*deletions, *((a.staff_id, at) for a in doubtful for at in (a.first_at, a.last_at))])
    if not spans:
        return
    runs = _runs(spans)
    known: dict[int, list[Any]] = defaultdict(list)
    for alarm in session().execute(_KNOWN, {"staff": sorted(spans)}):
        known[alarm.staff_id].append(alarm)
    new, changed, withdrawn = [], [], {alarm.id for alarm in doubtful}
    for run in runs:
        mine = [
            alarm
            for alarm in known[run.staff_id]
            if alarm.first_at <= run.ends and alarm.last_at >= run.begins
        ]
        if run.crossed_at is not None and mine:
            changed.append(_values(run) | {"id": mine[0].id})
            withdrawn.discard(mine[0].id)
            mine = mine[1:]
        elif run.crossed_at is not None:
            new.append(_values(run))
        withdrawn |= {alarm.id for alarm in mine}
    _write(new, changed, withdrawn, news)
    if known or new:
        sum_up(spans, KIND)


def _spans(moments: Sequence[tuple[int, datetime]]) -> dict[int, tuple[datetime, datetime]]:
    spans: dict[int, tuple[datetime, datetime]] = {}
    for staff_id, at in moments:
        low, high = spans.get(staff_id, (at, at))
        spans[staff_id] = min(low, at), max(high, at)
    return spans


def _runs(spans: dict[int, tuple[datetime, datetime]]) -> Sequence[Any]:
    """Runs that touch the spans: staff_id, begins, ends, first_at, crossed_at (empty: no alarm), deletions."""
    rows = [{"s": staff_id, "low": low, "high": high} for staff_id, (low, high) in sorted(spans.items())]
    conf = settings().losses
    values = {
        "rows": orjson.dumps(rows).decode(),
        "before": conf.alarm_count - 1,
        "quiet": timedelta(minutes=conf.alarm_minutes),
    }
    return session().execute(_RUNS, values).all()


_RUNS = text("""
WITH spans AS (SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(s bigint, low timestamptz, high timestamptz)),
deletions AS (
  SELECT l.staff_id, l.id, l.lost_at, lag(l.lost_at) OVER own AS before,
    lag(l.lost_at, CAST(:before AS integer)) OVER own AS nth
  FROM losses l JOIN spans ON spans.s = l.staff_id WHERE l.lost_by = 'staff' AND NOT l.found
  WINDOW own AS (PARTITION BY l.staff_id ORDER BY l.lost_at, l.id)),
numbered AS (
  SELECT d.*, lost_at - nth <= :quiet AS crosses,
    count(*) FILTER (WHERE before IS NULL OR lost_at - before > :quiet) OVER (
      PARTITION BY staff_id ORDER BY lost_at, id) AS run
  FROM deletions d),
marked AS (
  SELECT n.*, min(nth) FILTER (WHERE crosses) OVER own_run AS first_at,
    min(lost_at) FILTER (WHERE crosses) OVER own_run AS crossed_at
  FROM numbered n WINDOW own_run AS (PARTITION BY staff_id, run))
SELECT staff_id, min(lost_at) AS begins, max(lost_at) AS ends, min(first_at) AS first_at, min(crossed_at) AS crossed_at,
  count(*) FILTER (WHERE lost_at >= first_at) AS deletions
FROM marked JOIN spans ON spans.s = staff_id GROUP BY staff_id, run, low, high
HAVING max(lost_at) >= low AND min(lost_at) <= high ORDER BY staff_id, begins
""")
_DOUBTFUL = text("SELECT id, staff_id, first_at, last_at FROM loss_alarms WHERE doubtful FOR UPDATE")
_CALM = text("UPDATE loss_alarms SET doubtful = false WHERE doubtful")
_KNOWN = text("SELECT * FROM loss_alarms WHERE staff_id = ANY(CAST(:staff AS bigint[])) ORDER BY id")


def _values(run: Any) -> dict[str, Any]:
    conf = settings().losses
    return {
        "staff_id": run.staff_id, "first_at": run.first_at, "crossed_at": run.crossed_at, "last_at": run.ends,
        "deletions": run.deletions, "threshold": conf.alarm_count, "window_seconds": round(conf.alarm_minutes * 60),
    }  # fmt: skip


def _write(
    new: list[dict[str, Any]], changed: list[dict[str, Any]], withdrawn: set[int], news: timedelta
) -> None:
    current, now = session(), utcnow()
    if withdrawn:
        gone = update(LossAlarm).where(LossAlarm.id.in_(withdrawn), LossAlarm.withdrawn_at.is_(None))
        current.execute(gone.values(withdrawn_at=now))
        current.execute(update(LossAlarm).where(LossAlarm.id.in_(withdrawn)).values(doubtful=False))
    if changed:
        current.execute(_CHANGE, {"rows": orjson.dumps(changed).decode()})
    if new:
        made = current.execute(_INSERT, {"rows": orjson.dumps(new).decode()}).all()
        alert([_alert(row) for row in made if row.last_at > now - news])


_COLUMNS = ("staff_id", "first_at", "crossed_at", "last_at", "deletions", "threshold", "window_seconds")
_RECORD = """jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, staff_id bigint, first_at timestamptz,
  crossed_at timestamptz, last_at timestamptz, deletions bigint, threshold bigint, window_seconds bigint)"""
_INSERT = text(f"""
WITH made AS (INSERT INTO loss_alarms ({", ".join(_COLUMNS)}) SELECT {", ".join(_COLUMNS)} FROM {_RECORD}
  RETURNING *)
SELECT made.*, COALESCE(staff.name, staff.userid) AS member FROM made JOIN staff ON staff.id = made.staff_id
""")  # noqa: S608  # names of this module's own constants
_CHANGE = text(f"""
UPDATE loss_alarms a SET {", ".join(f"{name} = r.{name}" for name in _COLUMNS)}, doubtful = false, withdrawn_at = NULL
FROM {_RECORD} WHERE a.id = r.id
""")  # noqa: S608


def _alert(row: Any) -> Alert:
    since = f"{in_zone(row.first_at, settings().corp.zone):%Y-%m-%d %H:%M}"
    minutes = f"{row.window_seconds / 60:g}"
    return Alert(
        KIND,
        f"{KIND}:{row.id}",
        f"{row.member} 自 {since} 起短时间内删除了 {row.deletions} 个客户（阈值：{minutes} 分钟 {row.threshold} 个），请尽快核实",
        f"{row.member} deleted {row.deletions} customers since {since} (alarm at {row.threshold} in {minutes} minutes);"
        " please look into it",
        managers_of=(row.staff_id,),
        operators=True,
        urgent=True,
    )


def acknowledge(scope: Scope, alarm_id: int, actor: str, note: str | None) -> LossAlarm:
    """Somebody has looked into an alarm.

    :raises NotFound: no such alarm, or outside the scope
    :raises Conflict: somebody did so before
    """
    alarm = session().get(LossAlarm, alarm_id, with_for_update=True, populate_existing=True)
    if alarm is None or not (scope.everyone or alarm.staff_id in scope.staff_ids):
        raise NotFound(f"there is no loss alarm {alarm_id}, or it lies outside this key's data scope")
    if alarm.acknowledged_at is not None:
        raise Conflict(f"loss alarm {alarm_id} was acknowledged by {alarm.acknowledged_by} already")
    alarm.acknowledged_at, alarm.acknowledged_by, alarm.note = utcnow(), actor, note
    session().flush()
    return alarm
