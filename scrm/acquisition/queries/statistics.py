"""What came of channel codes: counted by the database from facts, by day of the corp's zone, member or code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as wall_time
from typing import Any

from sqlalchemy import Date, cast, func, select, text
from sqlalchemy.sql.elements import ColumnElement

from scrm.acquisition.models import ChannelAdd, ChannelCode, CodeState, Welcome, WelcomeOutcome
from scrm.customers.models import Follow
from scrm.kernel.clock import from_zone, utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput
from scrm.kernel.paging import paginate
from scrm.kernel.permissions import Scope
from scrm.kernel.settings import settings

USUAL_DAYS = 30
MOST_DAYS = 366
WITHIN = {"24h": timedelta(hours=24), "7d": timedelta(days=7)}
SIDES = ("customer", "staff")
OUTCOMES = {
    "welcomes_sent": WelcomeOutcome.SENT,
    "welcomes_missed": WelcomeOutcome.MISSED,
    "welcomes_suppressed": WelcomeOutcome.SUPPRESSED,
}
LOSSES = [f"lost_{name}_by_{side}" for name in WITHIN for side in SIDES]
FIGURES = ("adds", "returns", *LOSSES, *OUTCOMES)
Figures = dict[str, int]


@dataclass(frozen=True)
class Span:
    """Days of the corp's zone, first and last included."""

    first: date
    last: date

    @property
    def begin(self) -> datetime:
        """First moment, UTC."""
        return from_zone(datetime.combine(self.first, wall_time(0)), settings().corp.zone)

    @property
    def end(self) -> datetime:
        """First moment after it, UTC."""
        return from_zone(datetime.combine(self.last + timedelta(days=1), wall_time(0)), settings().corp.zone)

    @property
    def told(self) -> dict[str, date]:
        """As answers show it."""
        return {"from_": self.first, "to": self.last}


def span_of(query: Mapping[str, Any]) -> Span:
    """The days that a query asks for: its ``from_`` and ``to``, else the last 30.

    :raises InvalidInput: when they run backwards or are more than 366
    """
    last = query.get("to") or utcnow().astimezone(settings().corp.zone).date()
    first = query.get("from_") or last - timedelta(days=USUAL_DAYS - 1)
    if not 0 <= (last - first).days < MOST_DAYS:
        raise InvalidInput.field("from", f"must not be after to, and at most {MOST_DAYS} days in all")
    return Span(first, last)


def code_statistics(scope: Scope, code_id: int, query: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of one code, a row per day (quiet days too) or per member."""
    span, by = span_of(query), query["by"]
    found = _figures(by, [code_id], span, scope)
    keys = sorted(found)
    if by == "day":
        keys = [span.first + timedelta(days=day) for day in range((span.last - span.first).days + 1)]
    name = "day" if by == "day" else "staff_id"
    items = [{name: key, **found.get(key, _nothing())} for key in keys]
    total = {figure: sum(row[figure] for row in items) for figure in FIGURES}
    return {**span.told, "total": total, "items": items}


def overview(scope: Scope, query: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of a page of codes, newest first."""
    span = span_of(query)
    codes: Any = select(ChannelCode.id, ChannelCode.name).where(ChannelCode.status != CodeState.DELETED)
    page = paginate(codes, ChannelCode.id, query)
    found = _figures("code", [row["id"] for row in page["items"]], span, scope)
    items = [
        {"channel_code_id": row["id"], "name": row["name"], **found.get(row["id"], _nothing())}
        for row in page["items"]
    ]
    return {**span.told, "items": items, "next_cursor": page["next_cursor"]}


def _nothing() -> Figures:
    return dict.fromkeys(FIGURES, 0)


def _figures(by: str, code_ids: Sequence[int], span: Span, scope: Scope) -> dict[Any, Figures]:
    """Figures by day, staff id or code id of these codes: two questions, whatever the number of rows."""
    found: dict[Any, Figures] = {}
    for statement in (_adds(by, code_ids, span, scope), _welcomes(by, code_ids, span, scope)):
        for row in session().execute(statement).mappings():
            figures = found.setdefault(row["key"], _nothing())
            figures |= {name: number for name, number in row.items() if name != "key"}
    return found


def _adds(by: str, code_ids: Sequence[int], span: Span, scope: Scope) -> Any:
    key = {"day": _day(ChannelAdd.at), "staff": ChannelAdd.staff_id, "code": ChannelAdd.channel_code_id}[by]
    kept = ChannelAdd.lost_at - ChannelAdd.at
    losses = [
        func.count().filter(ChannelAdd.lost_by == side, kept <= limit).label(f"lost_{name}_by_{side}")
        for name, limit in WITHIN.items()
        for side in SIDES
    ]
    statement: Any = select(
        key.label("key"),
        func.count().label("adds"),
        func.count().filter(ChannelAdd.returns).label("returns"),
        *losses,
    ).where(
        ChannelAdd.channel_code_id.in_(code_ids),
        ChannelAdd.counts,
        ChannelAdd.at >= span.begin,
        ChannelAdd.at < span.end,
    )
    if not scope.everyone:
        statement = statement.where(ChannelAdd.staff_id.in_(scope.staff_ids))
    return statement.group_by(text("1"))


def _welcomes(by: str, code_ids: Sequence[int], span: Span, scope: Scope) -> Any:
    key = {"day": _day(Welcome.event_at), "staff": Follow.staff_id, "code": Welcome.channel_code_id}[by]
    outcomes = [func.count().filter(Welcome.outcome == one).label(name) for name, one in OUTCOMES.items()]
    statement: Any = (
        select(key.label("key"), *outcomes)
        .join(Follow, Follow.id == Welcome.follow_id)
        .where(
            Welcome.channel_code_id.in_(code_ids),
            Welcome.event_at >= span.begin,
            Welcome.event_at < span.end,
        )
    )
    if not scope.everyone:
        statement = statement.where(Follow.staff_id.in_(scope.staff_ids))
    return statement.group_by(text("1"))


def _day(moment: Any) -> ColumnElement[date]:
    return cast(func.timezone(settings().corp.timezone, moment), Date)


def fairness(scope: Scope, code_id: int, query: Mapping[str, Any]) -> dict[str, Any]:
    """What each member of a code got against what their time on duty would have brought.

    Each newcomer counts as 1/n for each of the n members on duty at that moment: WeCom picks one of them at random.
    """
    span = span_of(query)
    values = {"code": code_id, "begin": span.begin, "end": span.end, "now": utcnow()}
    rows = session().execute(_FAIRNESS, values).mappings()
    shown = [dict(row) for row in rows if scope.everyone or row["staff_id"] in scope.staff_ids]
    adds, expected = sum(row["adds"] for row in shown), sum(row["expected"] for row in shown)
    for row in shown:
        row["share"] = row["adds"] / adds if adds else 0.0
        row["expected_share"] = row["expected"] / expected if expected else 0.0
        row["ratio"] = row["adds"] / row["expected"] if row["expected"] else None
    ratios = [row["ratio"] for row in shown if row["ratio"] is not None]
    return {**span.told, "adds": adds, "gini": gini(ratios), "most_to_mean": _most(ratios), "items": shown}


_FAIRNESS = text("""
WITH adds AS (
  SELECT id, staff_id, at FROM channel_adds
  WHERE channel_code_id = :code AND counts AND at >= :begin AND at < :end),
present AS (
  SELECT d.staff_id, count(*) OVER (PARTITION BY a.id) AS number FROM adds a
  JOIN channel_duties d ON d.channel_code_id = :code AND d.from_at <= a.at AND coalesce(d.until_at, 'infinity') > a.at),
expected AS (SELECT staff_id, CAST(sum(1.0 / number) AS double precision) AS expected FROM present GROUP BY 1),
got AS (SELECT staff_id, count(*) AS adds FROM adds GROUP BY 1),
hours AS (
  SELECT staff_id, CAST(sum(extract(epoch FROM least(coalesce(until_at, :now), CAST(:end AS timestamptz), :now)
    - greatest(from_at, CAST(:begin AS timestamptz)))) / 3600 AS double precision) AS hours
  FROM channel_duties WHERE channel_code_id = :code AND from_at < least(CAST(:end AS timestamptz), :now)
  AND coalesce(until_at, 'infinity') > :begin GROUP BY 1)
SELECT staff_id, coalesce(got.adds, 0) AS adds, coalesce(expected.expected, 0) AS expected,
  coalesce(hours.hours, 0) AS hours
FROM got FULL JOIN expected USING (staff_id) FULL JOIN hours USING (staff_id) ORDER BY staff_id
""")


def gini(values: Sequence[float]) -> float | None:
    """The Gini coefficient: 0 when all are equal, (n - 1) / n when one has everything; None of nothing."""
    total = sum(values)
    if not total:
        return None
    weighted = sum((2 * place - len(values) - 1) * value for place, value in enumerate(sorted(values), 1))
    return float(weighted / (len(values) * total))


def _most(values: Sequence[float]) -> float | None:
    return max(values) * len(values) / sum(values) if sum(values) else None
