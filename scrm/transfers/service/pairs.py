"""By hand: who goes to whom, one by one or as CSV, checked as a whole before anything is written."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import delete, text

from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput
from scrm.kernel.permissions import Scope
from scrm.transfers.models import PlanState, TransferPair, TransferPlan

MOST_LINES = 200_000
PROBLEMS_SHOWN = 200
CUSTOMER, GROUP, RECEIVER = "external_userid", "chat_id", "to_userid"


@dataclass(frozen=True)
class PairWanted:
    """One customer or group by WeCom's id or by ours, and its receiver by userid or id; ``line`` for messages."""

    line: int
    customer: str | int | None = None
    group: str | int | None = None
    receiver: str | int | None = None


@dataclass(frozen=True)
class Imported:
    """What an import did, or would do: pairs taken, and what is wrong with the others (the first 200)."""

    accepted: int
    rejected: int
    problems: list[dict[str, Any]] = field(default_factory=list)


def read_csv(content: str) -> list[PairWanted]:
    """Lines ``external_userid`` or ``chat_id``, and ``to_userid``, with these names in the first line.

    :raises InvalidInput: for another first line, or too many lines
    """
    rows = csv.DictReader(io.StringIO(content.removeprefix("\ufeff")))
    names = {name.strip() for name in rows.fieldnames or []}
    if RECEIVER not in names or not names & {CUSTOMER, GROUP} or names - {CUSTOMER, GROUP, RECEIVER}:
        raise InvalidInput.field(
            "csv", f"the first line must name {CUSTOMER} or {GROUP}, and {RECEIVER}; not more"
        )
    found = list(_lines(rows))
    if len(found) > MOST_LINES:
        raise InvalidInput.field("csv", f"has {len(found)} lines; at most {MOST_LINES} at once")
    return found


def _lines(rows: csv.DictReader[str]) -> Iterator[PairWanted]:
    try:
        for row in rows:
            told = {
                (name or "").strip(): value.strip() for name, value in row.items() if isinstance(value, str)
            }
            if any(told.values()):
                yield PairWanted(
                    rows.line_num, told.get(CUSTOMER) or None, told.get(GROUP) or None, told.get(RECEIVER)
                )
    except csv.Error as error:
        raise InvalidInput.field("csv", f"line {rows.line_num} cannot be read: {error}") from None


def pairs_of(rows: Sequence[Mapping[str, Any]]) -> list[PairWanted]:
    """Pairs out of a request's ``pairs``: ids of ours."""
    return [
        PairWanted(number, row.get("customer_id"), row.get("group_id"), row["to_staff_id"])
        for number, row in enumerate(rows)
    ]


def set_pairs(
    plan: TransferPlan, wanted: Sequence[PairWanted], scope: Scope, *, dry_run: bool = False
) -> Imported:
    """Make these the plan's pairs, instead of those it has; wrong ones are reported and left out.

    :raises Conflict: the plan has a rule or is no draft any more
    """
    if plan.state is not PlanState.DRAFT:
        raise Conflict(f"transfer plan {plan.id} is {plan.state}; pairs can be set in a draft only")
    if plan.rule is not None:
        raise Conflict(f"transfer plan {plan.id} goes by a rule; take the rule away (rule: null) first")
    found = _resolved(plan, wanted, scope)
    problems = [{"line": row.line, "problem": row.problem} for row in found if row.problem]
    good = [row for row in found if not row.problem]
    if not dry_run:
        session().execute(delete(TransferPair).where(TransferPair.plan_id == plan.id))
        _insert(plan.id, good)
    return Imported(len(good), len(problems), problems[:PROBLEMS_SHOWN])


def _resolved(plan: TransferPlan, wanted: Sequence[PairWanted], scope: Scope) -> Sequence[Any]:
    rows = [
        {
            "line": one.line,
            "customer": one.customer if isinstance(one.customer, str) else None,
            "customer_id": one.customer if isinstance(one.customer, int) else None,
            "chat": one.group if isinstance(one.group, str) else None,
            "group_id": one.group if isinstance(one.group, int) else None,
            "userid": one.receiver if isinstance(one.receiver, str) else None,
            "staff_id": one.receiver if isinstance(one.receiver, int) else None,
        }
        for one in wanted
    ]
    values = {
        "rows": orjson.dumps(rows).decode(),
        "handover": plan.from_staff_id,
        "everyone": scope.everyone,
        "staff": sorted(scope.staff_ids),
        "customers": plan.matter != "groups",
        "groups": plan.matter != "customers",
    }
    return session().execute(_RESOLVE, values).all()


_RESOLVE = text("""
WITH r AS MATERIALIZED (
  SELECT r.line, s.id AS to_staff_id, c.id AS customer_id, g.id AS group_id,
    (r.customer IS NOT NULL OR r.customer_id IS NOT NULL) AS of_customer,
    (r.chat IS NOT NULL OR r.group_id IS NOT NULL) AS of_group
  FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(line bigint, customer text, customer_id bigint, chat text,
    group_id bigint, userid text, staff_id bigint)
  LEFT JOIN staff s ON CASE WHEN r.staff_id IS NULL THEN lower(s.userid) = lower(r.userid) ELSE s.id = r.staff_id END
    AND (:everyone OR s.id = ANY(CAST(:staff AS bigint[])))
  LEFT JOIN customers c ON c.external_userid = r.customer OR c.id = r.customer_id
  LEFT JOIN customer_groups g ON g.chat_id = r.chat OR g.id = r.group_id),
numbered AS (SELECT r.*, row_number() OVER (PARTITION BY of_customer, customer_id, group_id ORDER BY line) AS place FROM r)
SELECT line, to_staff_id, customer_id, group_id, CASE
  WHEN of_customer = of_group THEN 'name either a customer or a group'
  WHEN of_customer AND NOT :customers THEN 'the plan is about groups only'
  WHEN of_group AND NOT :groups THEN 'the plan is about customers only'
  WHEN to_staff_id IS NULL THEN 'no such receiver, or outside this key''s data scope'
  WHEN to_staff_id = :handover THEN 'the receiver is the member who hands over'
  WHEN of_customer AND customer_id IS NULL THEN 'no such customer'
  WHEN of_group AND group_id IS NULL THEN 'no such group'
  WHEN of_customer AND NOT EXISTS (SELECT FROM follows f WHERE f.customer_id = numbered.customer_id
    AND f.staff_id = :handover) AND NOT EXISTS (SELECT FROM unassigned_customers u
    WHERE u.customer_id = numbered.customer_id AND u.staff_id = :handover)
    THEN 'no customer of the member who hands over'
  WHEN of_group AND NOT EXISTS (SELECT FROM customer_groups g WHERE g.id = numbered.group_id
    AND g.owner_staff_id = :handover) THEN 'no group of the member who hands over'
  WHEN place > 1 THEN 'named twice; the first line counts' END AS problem
FROM numbered ORDER BY line
""")


def _insert(plan_id: int, rows: Sequence[Any]) -> None:
    values = [
        {"customer_id": row.customer_id, "group_id": row.group_id, "to_staff_id": row.to_staff_id}
        for row in rows
    ]
    session().execute(_INSERT, {"plan": plan_id, "rows": orjson.dumps(values).decode()})


_INSERT = text("""
INSERT INTO transfer_pairs (plan_id, customer_id, group_id, to_staff_id)
SELECT :plan, customer_id, group_id, to_staff_id
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(customer_id bigint, group_id bigint, to_staff_id bigint)
ORDER BY customer_id, group_id
""")
