"""One rule looks at everybody, a slice of customers at a time.

A slice first asks, without keeping anybody waiting, on whom of very many customers something differs; that is one statement,
mostly over all that are left. Only those few are then evaluated as incremental evaluation does it: under the locks, by
a look that began after they were held. What changes between the two is on the to-do list of the rule anyway.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from scrm.customers.models import Customer
from scrm.kernel.db import session
from scrm.kernel.errors import ScrmError
from scrm.kernel.locks import share_in_transaction
from scrm.kernel.settings import settings
from tags.models import Rule, RuleRun, RunState
from tags.rules.queries.runs import LOOKING, WORKING
from tags.rules.service.bounds import FAULTS, told
from tags.rules.service.evaluating import (
    SHARDS,
    Population,
    active_rules,
    differences,
    differing,
    hold_shards,
    pause,
)
from tags.rules.service.marking import ACTIVATION
from tags.rules.service.slices import apply, finish
from tags.rules.service.texts import RuleText

FIRST = 100_000  # customers of the first look, which says how many the next ones can take
SECONDS = 5.0  # that a later look is meant to take, with what it changes
FEW = 30_000  # customers whose own tags are read sooner than all that a rule holds
CHANGED = 2_500  # customers changed in one transaction: whoever evaluates others waits for it


@dataclass(frozen=True)
class Look:
    """What a look found: customers in (``begin``, ``end``] on whom something differs, ``seen`` looked at in all.

    ``error``: why the rule could not be asked.
    """

    rule: RuleText
    begin: int
    end: int
    seen: int
    customer_ids: Sequence[int] = ()
    over: bool = False
    error: str | None = None


def backfill_slice(run_id: int, limit: int | None = None) -> bool:
    """Do the next slice of a backfill or daily run; says whether more is left. Another worker's slice is left to it.

    :param limit: customers of the slice; by default as many as take a few seconds

    The cursor moves in the transaction of the slice, so that a killed worker's slice is done again from the start.
    """
    began = time.monotonic()
    look = _look(run_id, limit)
    share_in_transaction(ACTIVATION)
    if look is None or look.customer_ids:
        hold_shards(range(SHARDS))
    run = locked_run(run_id)
    if run is None or run.paused_at is not None or run.state not in WORKING or run.kind not in LOOKING:
        return False
    rule = next(iter(active_rules([run.rule_id])), None)
    if rule is None or rule.version != run.version:
        return finish(run, RunState.FAILED, _why_stopped(run, rule))
    if look is None or look.begin != run.cursor or look.rule != rule:
        return True  # somebody else was at work: look again
    more = _conclude(run, look)
    run.worked_seconds += time.monotonic() - began
    return more


def locked_run(run_id: int) -> RuleRun | None:
    """The run as it is now, kept until the transaction ends; None while another worker has it."""
    picked = select(RuleRun).where(RuleRun.id == run_id).with_for_update(skip_locked=True)
    return session().scalars(picked.execution_options(populate_existing=True)).one_or_none()


def _look(run_id: int, limit: int | None) -> Look | None:
    """Ask about the next customers; None when the run is not at work."""
    run = session().get(RuleRun, run_id, populate_existing=True)
    if run is None or run.paused_at is not None:
        return None
    rule = next(iter(active_rules([run.rule_id])), None)
    if rule is None or rule.version != run.version:
        return None
    begin, width = run.cursor, limit or _width(run)
    end, seen = _stretch(begin, None, width)
    over = seen < width
    if not seen:
        return Look(rule, begin, begin, 0, over=True)
    try:
        found = differing(rule, Population.between(begin, end, few=seen <= FEW), CHANGED)
    except FAULTS as error:
        why = f"its condition cannot be evaluated: {told(error, settings().rules.look_seconds)}"
        return Look(rule, begin, end, 0, error=why)
    except (ScrmError, ArithmeticError) as error:
        return Look(rule, begin, end, 0, error=f"its condition cannot be read: {error}")
    if len(found) == CHANGED:
        _, seen = _stretch(begin, found[-1], None)
        return Look(rule, begin, found[-1], seen, found)
    return Look(rule, begin, end, seen, found, over)


def _width(run: RuleRun) -> int:
    """How many customers to look at next: as many as the pace so far does in :data:`SECONDS`.

    Where many change, twice as many as it took to find :data:`CHANGED`: a look at more finds no more of them.
    """
    if not run.seen or not run.worked_seconds:
        return FIRST
    width = int(run.seen / run.worked_seconds * SECONDS)
    if changed := run.added + run.removed:
        width = min(width, 2 * CHANGED * run.seen // changed)
    return max(1_000, width)


def _stretch(begin: int, end: int | None, width: int | None) -> tuple[int, int]:
    """The last id and the number of the next ``width`` customers, or of those up to ``end``."""
    ids = select(Customer.id).where(Customer.id > begin).order_by(Customer.id).limit(width)
    ids = ids.where(Customer.id <= end) if end is not None else ids
    found = ids.subquery()
    last, seen = session().execute(select(func.max(found.c.id), func.count())).one()
    return last or begin, seen


def _conclude(run: RuleRun, look: Look) -> bool:
    """Write what the look found, as it is now."""
    if look.error:
        pause(run.rule_id, look.error)
        return finish(run, RunState.FAILED, _why_stopped(run, None))
    if look.customer_ids:
        apply(run, differences([look.rule], Population.of_ids(look.customer_ids), run.id))
        if not active_rules([run.rule_id]):
            return finish(run, RunState.FAILED, _why_stopped(run, None))
    run.seen += look.seen
    if look.over:
        return finish(run, RunState.DONE)
    run.state, run.cursor = RunState.RUNNING, look.end
    return True


def _why_stopped(run: RuleRun, rule: RuleText | None) -> str:
    if rule is not None:
        return f"the rule was changed to version {rule.version} meanwhile; start a backfill of that"
    error = session().scalar(select(Rule.error).where(Rule.id == run.rule_id))
    return f"the rule is no longer active{f': {error}' if error else ''}"
