"""Recency, frequency and money of everybody who bought, and their scores of 1 to 5; one statement.

Scores come from four cut-points per figure, so equal values always share a score.

* ``quantile``: the cut-points are the 20, 40, 60 and 80 % quantiles of all who bought within the window, in the sense of
  the inverse distribution function (``percentile_disc``, type 1 of Hyndman and Fan 1996): the smallest value that occurs
  and that at least so many do not exceed. A value *above* a cut-point is in the next class, as with ``pandas.qcut``.
  Where many share a value, classes stay empty rather than that equal persons are torn apart.
* ``fixed``: the cut-points as set. Recency *up to* the first is 5; frequency and money *from* the first on are 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from functools import cache
from typing import Any

from sqlalchemy import text

from scrm.kernel.clock import in_zone, utcnow
from scrm.kernel.db import session
from scrm.kernel.settings import settings
from scrm.value.models import Method
from scrm.value.queries.settings import rfm_settings
from scrm.value.service.bought import BOUGHT, LAST_ON, ONLY, RECENCY

FIGURES = ("recency", "frequency", "monetary")


def score(person_ids: Sequence[int] | None = None) -> list[int]:
    """Work out scores of these persons, or of all, and give those who changed; rows are written where one differs.

    Quantiles are everybody's, so with that method some persons alone are left for the night.
    """
    chosen = rfm_settings()
    if person_ids is not None and chosen["method"] == Method.QUANTILE:
        return []
    zone = settings().corp.zone
    now = utcnow()
    today = in_zone(now, zone).date()
    first = datetime.combine(today - timedelta(days=chosen["window_days"]), time(), zone)
    values: dict[str, Any] = {
        "today": today, "zone": settings().corp.timezone, "since": first, "now": now,
        "currency": chosen["currency"],
    }  # fmt: skip
    if chosen["method"] == Method.FIXED:
        values |= {name: [str(cut) for cut in chosen[f"{name}_cuts"]] for name in FIGURES}
    if person_ids is not None:
        values["ids"] = sorted(person_ids)
    statement = _statement(Method(chosen["method"]), person_ids is not None)
    return sorted(session().scalars(text(statement), values))


@cache
def _statement(method: Method, some: bool) -> str:
    if method is Method.FIXED:
        cuts = "SELECT " + ", ".join(f"CAST(:{name} AS numeric[]) AS {name}" for name in FIGURES)
    else:
        quantile = "percentile_disc(ARRAY[0.2, 0.4, 0.6, 0.8]) WITHIN GROUP (ORDER BY {0}) AS {0}"
        cuts = "SELECT " + ", ".join(quantile.format(name) for name in FIGURES) + " FROM facts"  # noqa: S608  # constants
    upper = ">=" if method is Method.FIXED else ">"
    return _SCORE.format(
        cuts=cuts,
        r=f"5 - ({_passed('recency', '>')})",
        f=f"1 + {_passed('frequency', upper)}",
        m=f"1 + {_passed('monetary', upper)}",
        only_orders=f"AND o.person_id {ONLY}" if some else "",
        only_scores=f"AND s.person_id {ONLY}" if some else "",
    )


def _passed(name: str, operator: str) -> str:
    return " + ".join(f"CAST(f.{name} {operator} c.{name}[{place}] AS int)" for place in (1, 2, 3, 4))


_COMPARED = "last_on, frequency, monetary, r, f, m"
_SCORE = f"""
WITH facts AS (
  SELECT person_id, {LAST_ON} AS last_on, {RECENCY} AS recency, count(*) AS frequency, sum(net) AS monetary
  FROM ({BOUGHT} AND o.currency = :currency AND o.paid_at >= :since {{only_orders}}) b GROUP BY person_id),
cuts AS ({{cuts}}),
scored AS (
  SELECT f.person_id, f.last_on, f.frequency, f.monetary, {{r}} AS r, {{f}} AS f, {{m}} AS m
  FROM facts f CROSS JOIN cuts c),
differing AS (
  SELECT n.* FROM scored n LEFT JOIN rfm_scores s USING (person_id)
  WHERE (s.last_on, s.frequency, s.monetary, s.r, s.f, s.m)
    IS DISTINCT FROM (n.last_on, n.frequency, n.monetary, n.r, n.f, n.m)),
written AS (
  INSERT INTO rfm_scores (person_id, {_COMPARED}, computed_at)
  SELECT person_id, {_COMPARED}, :now FROM differing ORDER BY person_id
  ON CONFLICT (person_id) DO UPDATE SET computed_at = excluded.computed_at,
    {", ".join(f"{name} = excluded.{name}" for name in _COMPARED.split(", "))}),
gone AS (
  DELETE FROM rfm_scores s WHERE NOT EXISTS (SELECT 1 FROM scored n WHERE n.person_id = s.person_id) {{only_scores}}
  RETURNING s.person_id)
SELECT person_id FROM differing UNION ALL SELECT person_id FROM gone
"""  # noqa: S608  # names of this module's own constants
