"""Parts: claimed with a lease, read page by page, and never written by anyone who lost the lease."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import ColumnElement, func, insert, select, text, update

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.leases import RELEASED, claim
from scrm.kernel.settings import settings
from scrm.sync.models import STAGED_ITEMS, PartState, SyncPart
from scrm.sync.service import staging
from scrm.sync.service.pages import Asked, Failure, NewPart, Page
from scrm.wecom.errors import Deferred, WecomError

TRIES = 8  # of one page or slice: 5, 10, 20 … seconds apart, about ten minutes in all
BACKOFF_MAX = 300.0
BAD_CURSOR = 50100  # WeCom forgot where we were: the part is read anew
ANEW = "WeCom forgot the cursor; read anew"
MARK = "run"  # entity of the row that shows that the staging tables were not emptied by a crash (see mending)
S = PartState
UNREAD = {S.WAITING, S.FAILED, S.CANCELLED}


def add_parts(run_id: int, new: Sequence[NewPart], stages: Mapping[str, int]) -> None:
    """Plan further pieces of work."""
    rows = [
        {"run_id": run_id, "entity": part.entity, "stage": stages[part.entity], "state": S.WAITING, "keys": list(part.keys)}
        for part in new
    ]  # fmt: skip
    if rows:
        session().execute(insert(SyncPart), rows)


def claim_parts(run_id: int, ready: ColumnElement[bool], limit: int) -> list[Asked]:
    """Take parts to work on; who was given up by a killed worker comes again after its lease."""
    held = claim(
        SyncPart,
        ready=(SyncPart.run_id == run_id) & ready & _its_time(),
        order_by=SyncPart.id,
        limit=limit,
        seconds=settings().sync.lease_seconds,
        values={"started_at": func.coalesce(SyncPart.started_at, utcnow())},
    )
    return [
        Asked(p.id, p.run_id, p.entity, held.token, tuple(p.keys), p.cursor, p.pages, p.attempts) for p in held.rows
    ]  # fmt: skip


def _its_time() -> ColumnElement[bool]:
    return (SyncPart.next_at.is_(None)) | (SyncPart.next_at <= utcnow())


def claimable(run_id: int, ready: ColumnElement[bool]) -> bool:
    """Whether a part waits for somebody now."""
    free = (SyncPart.lease_until.is_(None)) | (SyncPart.lease_until < utcnow())
    wanted = select(SyncPart.id).where(SyncPart.run_id == run_id, ready, _its_time(), free)
    return bool(session().scalar(select(wanted.exists())))


def record_pages(read: Sequence[tuple[Asked, Page]], *, release: bool) -> list[Asked]:
    """Stage pages together with the cursors behind them; who lost the lease writes nothing.

    :param release: give the parts back, because nobody reads on in this process
    :returns: the parts still held
    """
    until = utcnow() + timedelta(seconds=settings().sync.lease_seconds)
    rows = [
        _page_row(part, page, until, release=release) for part, page in sorted(read, key=lambda r: r[0].id)
    ]
    ids = set(session().scalars(_RECORD, {"rows": orjson.dumps(rows).decode()}))
    kept = [(part, page) for part, page in read if part.id in ids]
    staging.stage(kept)
    return [part for part, _ in kept]


def _page_row(part: Asked, page: Page, until: datetime, *, release: bool) -> dict[str, Any]:
    over = page.cursor is None
    return {
        "id": part.id, "token": str(part.token), "cursor": page.cursor or "", "rows": page.rows,
        "state": S.READ if over else S.WAITING, "until": None if over or release else until,
        "failures": [failure.__dict__ for failure in page.failures],
    }  # fmt: skip


_RECORD = text("""
WITH r AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, token uuid, cursor text, rows bigint,
    state text, until timestamptz, failures jsonb)),
held AS MATERIALIZED (
  SELECT p.id FROM sync_parts p JOIN r USING (id) WHERE p.lease_token = r.token ORDER BY p.id FOR UPDATE OF p)
UPDATE sync_parts p SET cursor = r.cursor, pages = p.pages + 1, rows = p.rows + r.rows, state = r.state,
  lease_until = r.until, lease_token = CASE WHEN r.until IS NOT NULL THEN p.lease_token END,
  attempts = CASE WHEN r.until IS NULL THEN 0 ELSE 1 END, next_at = NULL, failures = p.failures || r.failures
FROM r JOIN held USING (id) WHERE p.id = r.id RETURNING p.id
""")


def record_error(part: Asked, error: WecomError, stages: Mapping[str, int]) -> None:
    """A page could not be read: try later, split members from one another, or give up and conclude nothing."""
    if error.errcode == BAD_CURSOR and part.pages:
        _begin_anew(part)
    elif error.passing and part.tries < TRIES:
        wait = min(BACKOFF_MAX, 5.0 * 2 ** (part.tries - 1))
        tries = part.tries - 1 if isinstance(error, Deferred) else part.tries  # our own limits are no failure
        _release(part, next_at=utcnow() + timedelta(seconds=error.retry_after or wait), attempts=tries)
    elif part.entity == "customers" and len(part.keys) > 1 and not error.passing:
        _split(part, stages)
    else:
        staging.forget_part([part.id])
        _release(part, state=S.FAILED, errcode=error.errcode, error=error.errmsg)


def _begin_anew(part: Asked) -> None:
    """Once; a part whose cursor WeCom forgets again has failed."""
    staging.forget_part([part.id])
    first = SyncPart.error.is_distinct_from(ANEW)
    fresh = {"cursor": "", "pages": 0, "rows": 0, "error": ANEW}
    if not _release(part, first, **fresh):
        _release(part, state=S.FAILED, errcode=BAD_CURSOR, error=f"{ANEW} twice")


def _split(part: Asked, stages: Mapping[str, int]) -> None:
    """One bad member fails a whole call: from now on each stands for themself."""
    staging.forget_part([part.id])
    if _release(part, state=S.SPLIT):
        add_parts(part.run_id, [NewPart(part.entity, [key]) for key in part.keys], stages)


def _release(part: Asked, *conditions: ColumnElement[bool], **values: Any) -> bool:
    changed = session().execute(
        update(SyncPart)
        .where(SyncPart.id == part.id, SyncPart.lease_token == part.token, *conditions)
        .values(**values, **RELEASED)
        .returning(SyncPart.id)
        .execution_options(synchronize_session=False)
    )
    return changed.first() is not None


def hold(part: Asked) -> SyncPart | None:
    """The part, locked until the transaction ends, if it is still ours and what was staged for the run is still there."""
    mark = select(STAGED_ITEMS.c.key).where(
        STAGED_ITEMS.c.entity == MARK, STAGED_ITEMS.c.key == str(part.run_id)
    )
    wanted = select(SyncPart).where(SyncPart.id == part.id, SyncPart.lease_token == part.token, mark.exists())
    found: SyncPart | None = (
        session().scalars(wanted.with_for_update().execution_options(populate_existing=True)).one_or_none()
    )
    return found


def give_back(parts: Iterable[Asked]) -> None:
    """Let others go on with these parts at once."""
    for part in parts:
        _release(part, attempts=max(0, part.tries - 1))


def put_off(part: Asked, reason: str) -> None:
    """A slice could not be written (a deadlock, a store that went away): again in a while, not for ever."""
    if part.tries >= TRIES:
        _release(part, state=S.FAILED, error=reason)
    else:
        _release(part, next_at=utcnow() + timedelta(seconds=5.0 * part.tries), error=reason)


def read_again(part_ids: Sequence[int]) -> None:
    """Read parts anew whose staged rows were lost."""
    staging.forget_part(part_ids)
    session().execute(
        update(SyncPart)
        .where(SyncPart.id.in_(part_ids))
        .values(
            state=S.WAITING, cursor="", pages=0, rows=0, failures=[], started_at=None, attempts=0, **RELEASED
        )
        .execution_options(synchronize_session=False)
    )


def failed_keys(part: SyncPart) -> set[str]:
    """Keys of a part that could not be read."""
    return {Failure(**row).key for row in part.failures}


def all_read(run_id: int, *entities: str) -> bool:
    """Whether there are parts of these entities and every call of every one of them succeeded."""
    rows = (
        session()
        .execute(
            select(SyncPart.state, SyncPart.failures).where(
                SyncPart.run_id == run_id, SyncPart.entity.in_(entities), SyncPart.state != S.SPLIT
            )
        )
        .all()
    )
    return bool(rows) and all(row.state not in UNREAD and not row.failures for row in rows)
