"""The end of a run: rules get everybody it changed in one batch, strangers who became customers are recognized, and
the report is kept.
"""

from __future__ import annotations

from typing import Any

import structlog
from sqlalchemy import delete, select, text

from scrm.acquisition.service.arrivals import count_missed
from scrm.conversations.service.messages import link_customers as link_messages
from scrm.groups.service.linking import link_all_customers
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.kernel.locks import share_in_transaction
from scrm.portraits.service import note_stays
from scrm.sync.events import RulesOwed
from scrm.sync.models import PartState, SyncPart, SyncRun, SyncTouched
from scrm.sync.service import staging
from scrm.sync.service.tally import Tally, counted, merged
from tags.rules.service.marking import ACTIVATION, mark_selected

log = structlog.get_logger(__name__)


def settle(run: SyncRun) -> None:
    """Do what is left when a run ends, however it ends."""
    if not run.dry_run:
        _recognize(run)
        tell_rules(run)
    run.counts = report(run)
    staging.empty()
    _measure(run.counts)
    kept = SyncPart.state.in_([PartState.FAILED]) | (text("jsonb_array_length(failures) > 0"))
    session().execute(delete(SyncPart).where(SyncPart.run_id == run.id, ~kept))
    log.info("sync over", run=run.id, state=run.state, dry_run=run.dry_run, **_totals(run.counts))


MANY = 10_000
"""New rows after which PostgreSQL's idea of a table is worth renewing at once."""


def _measure(counts: Tally) -> None:
    if sum(row["new"] for row in counts.values()) > MANY:
        session().execute(text("ANALYZE customers, follows, tag_assignments, group_stays"))


def _totals(counts: Any) -> dict[str, int]:
    return {
        f"{name}_{kind}": row[kind]
        for name, row in counts.items()
        for kind in ("new", "changed", "gone")
        if row[kind]
    }


def _recognize(run: SyncRun) -> None:
    """Stays and messages of people who were no customers until this run, and through which code newcomers had come."""
    stays = link_all_customers()
    note_stays(stays, [stay for stay in stays if stay.left_at is not None])
    link_messages()
    count_missed()
    touch(run.id, {stay.customer_id for stay in stays})


def touch(run_id: int, customer_ids: Any) -> None:
    """Remember whose facts a run changed."""
    if customer_ids:
        share_in_transaction(
            ACTIVATION
        )  # as in tags.rules.service.marking: an activation waits for us, or we see it
        session().execute(_TOUCH, {"run": run_id, "ids": sorted(customer_ids)})


_TOUCH = text("""
INSERT INTO sync_touched (run_id, customer_id) SELECT :run, id FROM unnest(CAST(:ids AS bigint[])) AS id
WHERE EXISTS (SELECT FROM rules WHERE state = 'active' AND deleted_at IS NULL)
ON CONFLICT (run_id, customer_id) DO NOTHING
""")
"""Without an active rule nobody will ask; a rule that is activated later looks at everybody anyway."""


def tell_rules(run: SyncRun) -> None:
    """Put everybody a run changed on the to-do list of the rules: one statement."""
    touched = select(SyncTouched.customer_id).where(SyncTouched.run_id == run.id)
    if mark_selected(touched):
        publish(RulesOwed())
    session().execute(delete(SyncTouched).where(SyncTouched.run_id == run.id))


def report(run: SyncRun) -> Tally:
    """Counts of all parts together. What is missing and was not ended counts as gone in a dry run only."""
    total: Tally = {}
    for counts in session().scalars(select(SyncPart.counts).where(SyncPart.run_id == run.id)):
        total = merged(total, counts)
    if "customers" in total:  # one followed by members of several parts is one
        total["customers"]["seen"] = session().scalar(_CUSTOMERS) or 0
    if run.dry_run:
        for row in session().execute(_MISSING, {"run": run.id}):
            total = merged(total, {row.entity: counted(gone=row.gone, gone_ids=row.samples)})
    return total


_CUSTOMERS = text("SELECT count(DISTINCT external_userid) FROM sync_follows")
_MISSING = text("""
SELECT m.entity, count(*) AS gone, (array_agg(CASE WHEN m.subject = 0 THEN m.key ELSE CAST(m.subject AS text) END))[1:10] AS samples
FROM sync_missing m JOIN sync_parts p ON p.id = m.part_id WHERE p.run_id = :run GROUP BY 1
""")
