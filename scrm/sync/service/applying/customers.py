"""Customers, relations and their tags: what is missing, what is new or differs, what is gone."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from scrm.customers.service.bulk import (
    LIVING,
    MISSING_FOLLOWS,
    Source,
    Written,
    close_follows,
    write_customers,
    write_follows,
)
from scrm.customers.service.details import CONTACT_TYPES, LAG, SHOWN_TYPES
from scrm.customers.service.wanting import want_refresh
from scrm.kernel.db import session
from scrm.staff.service import ensure_staff, staff_ids
from scrm.sync.models import RepairTags, SyncPart, SyncRun
from scrm.sync.service import parts, staging
from scrm.sync.service.applying.done import Done
from scrm.sync.service.pages import NewPart, chunks
from scrm.sync.service.tally import Counts, counted
from tags.sync.service import comparing
from tags.sync.service.comparing import Shown
from tags.sync.service.sightings import LAG as TAG_LAG

SLICE_PAGES = 50  # pages of at most a hundred relations written in one transaction
MEMBERS = 100  # members asked about in one part of second looks

_STAGED = f"""
SELECT m.staff_id, s.external_userid, s.asked_at, to_timestamp(s.createtime) AS added_at, s.tag_ids,
  {", ".join(f"s.{name}" for name in (*CONTACT_TYPES, *SHOWN_TYPES))}
FROM sync_follows s
JOIN unnest(CAST(:userids AS text[]), CAST(:staff AS bigint[])) AS m(userid, staff_id) ON m.userid = lower(s.userid)
WHERE s.part_id = :part AND s.page >= :first AND s.page < :after"""  # noqa: S608  # constants
_SHOWN_TAGS = f"""
WITH s AS MATERIALIZED ({_STAGED}),
k AS MATERIALIZED (SELECT c.id AS customer_id, s.* FROM s JOIN customers c USING (external_userid))
SELECT DISTINCT ON (f.id) f.id AS follow_id, f.customer_id, k.tag_ids, k.asked_at AS seen_at
FROM k JOIN follows f ON f.customer_id = k.customer_id AND f.staff_id = k.staff_id
WHERE k.tag_ids IS NOT NULL AND f.status IN {LIVING} ORDER BY f.id, k.asked_at DESC"""  # noqa: S608  # constants
"""Step by step: while the tables are new, PostgreSQL does not know that a member has a thousand relations, and would
go from members to relations first, which is quadratic."""
EVERY_PAGE = (0, 2**31 - 1)


def _values(part: SyncPart, staff: dict[str, int], pages: tuple[int, int]) -> dict[str, Any]:
    return {
        "part": part.id, "first": pages[0], "after": pages[1],
        "userids": [userid.lower() for userid in staff], "staff": list(staff.values()),
    }  # fmt: skip


def compare(run: SyncRun, part: SyncPart) -> Done:
    """Note relations and tags of ours that this part's members' lists no longer show; they get a second look."""
    staff = staff_ids(part.keys)
    values = _values(part, staff, EVERY_PAGE)
    times = {"started_at": part.started_at, "recent": part.started_at - LAG if part.started_at else None}
    session().execute(_MISS_FOLLOWS, {**values, **times})
    if run.repair_tags is not RepairTags.NONE:
        session().execute(_MISS_TAGS, {**values, "lag": TAG_LAG})
    doubtful = set(session().scalars(_DOUBTFUL, {"part": part.id}))
    userids = sorted({key for key in part.keys if staff.get(key.casefold()) in doubtful})
    return Done(parts=[NewPart("customer_ids", some) for some in chunks(userids, MEMBERS)])


_MISS_FOLLOWS = text(f"""
INSERT INTO sync_missing (part_id, entity, subject, key, staff_id)
SELECT :part, 'follows', m.* FROM ({MISSING_FOLLOWS.format(source=_STAGED)}) AS m
""")  # noqa: S608  # constants
_MISS_TAGS = text(f"""
INSERT INTO sync_missing (part_id, entity, subject, key, staff_id)
SELECT :part, 'customer_tags', m.* FROM ({comparing.vanished_sql(_SHOWN_TAGS)}) AS m
""")  # noqa: S608  # constants
_DOUBTFUL = text("SELECT DISTINCT staff_id FROM sync_missing WHERE part_id = :part AND entity = 'follows'")


def compare_again(run: SyncRun, part: SyncPart) -> Done:
    """The second look: only what the member's whole list does not show either is gone.

    Whom it shows after all is fetched by itself. A member who could not be asked keeps their customers.
    """
    staff = staff_ids(part.keys)
    unasked = [staff[key.casefold()] for key in parts.failed_keys(part) if key.casefold() in staff]
    session().execute(_KEEP_ALL, {"staff": unasked})
    found: list[str] = []
    for item in staging.items_of_part(part.id, "customer_ids"):
        kept = {"staff": staff.get(item.key.casefold()), "ids": item.body["ids"]}
        found += session().scalars(_KEEP, kept)
    if not run.dry_run:
        want_refresh(found)
    return Done()


_KEEP_ALL = text(
    "DELETE FROM sync_missing WHERE entity = 'follows' AND staff_id = ANY(CAST(:staff AS bigint[]))"
)
_KEEP = text("""
DELETE FROM sync_missing WHERE entity = 'follows' AND staff_id = :staff AND key = ANY(CAST(:ids AS text[]))
RETURNING key
""")


def apply(run: SyncRun, part: SyncPart) -> Done:
    """Write a slice of pages: customers, relations, tags that appeared."""
    pages = (part.applied_pages, part.applied_pages + SLICE_PAGES)
    values = _values(part, ensure_staff(part.keys), pages)
    source = Source(_STAGED, values)
    customers, follows = write_customers(source), write_follows(source)
    tags, touched = _apply_tags(run, Shown(_SHOWN_TAGS, values))
    tally = {"customers": _counts(customers), "follows": _counts(follows), "customer_tags": tags}
    return Done(
        tally,
        more=pages[1] < part.pages,
        pages=SLICE_PAGES,
        customer_ids={*customers.customer_ids, *follows.customer_ids, *touched},
    )


def _counts(written: Written) -> Counts:
    new = set(written.new_ids)
    changed = [id_ for id_ in written.ids if id_ not in new]
    return counted(
        seen=written.seen, new=written.new, changed=written.changed, fields=written.fields,
        new_ids=written.new_ids, changed_ids=changed,
    )  # fmt: skip


def _apply_tags(run: SyncRun, shown: Shown) -> tuple[Counts, Any]:
    how = {
        RepairTags.OURS: comparing.take_appeared,
        RepairTags.WECOM: comparing.push_ours,
        RepairTags.NONE: comparing.count_appeared,
    }[run.repair_tags]
    done = how(shown)
    touched = done.customer_ids if run.repair_tags is RepairTags.OURS else ()
    return counted(seen=done.seen, new=done.new, new_ids=done.customer_ids), touched


def close_relations(run: SyncRun, part: SyncPart, ids: list[int]) -> Done:
    """End relations that neither look showed; what hangs on them at WeCom is gone with them."""
    if part.started_at is None:
        return Done()
    rows = close_follows(ids, part.started_at)
    comparing.drop_of_lost([row.id for row in rows])
    gone = counted(gone=len(rows), gone_ids=[row.id for row in rows])
    return Done({"follows": gone}, customer_ids={row.customer_id for row in rows})


def close_tags(run: SyncRun, part: SyncPart, ids: list[int]) -> Done:
    """Tags that WeCom no longer shows: gone here, or told to WeCom again."""
    if run.repair_tags is RepairTags.WECOM:
        comparing.push_vanished(ids)
        return Done({"customer_tags": counted(gone=len(ids), gone_ids=ids)})
    customers = comparing.drop_vanished(ids)
    return Done({"customer_tags": counted(gone=len(ids), gone_ids=ids)}, customer_ids=customers)
