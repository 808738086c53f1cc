"""People who came through a channel code: every add counted once, and served (tags, remark) once.

Callbacks come twice, late and in any order, several apps tell the same add, a half add is followed by the full one, and
some adds are only seen when WeCom is asked. So facts are kept as rows, and what follows from them (does this add
count, did the person return, when were they lost) is computed anew from all facts of a relation. The locks on the
relation's row, which whoever recorded the fact holds, keep two batches of one relation apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import select, text

from scrm.acquisition.events import ChecksDue
from scrm.acquisition.models import AddKind, ChannelCode, RemarkState
from scrm.customers.events import ContactFact, ContactRecorded
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from tags.models import Tag
from tags.service import Wish, assign

SAME_ADD = timedelta(seconds=20)  # life of a welcome code: what several apps tell within it is one add
MISSED_WITHIN = timedelta(days=3)  # of the row's last change; this is asked daily
REMARK_DAYS = timedelta(days=7)  # who came longer ago keeps the remark they have
TRANSFER = (
    "DELETE_BY_TRANSFER"  # Source of a deletion that handed the customer over (wecom-api.md section 3.1)
)
ADDS = {ContactFact.HALF_ADDED: AddKind.HALF, ContactFact.ADDED: AddKind.FULL}
LOSSES = {ContactFact.LOST_BY_STAFF: "staff", ContactFact.LOST_BY_CUSTOMER: "customer"}


def note_facts(facts: Sequence[ContactRecorded]) -> None:
    """These adds and losses were recorded; newcomers of channel codes get what their code gives."""
    lost = _note_losses([fact for fact in facts if fact.fact in LOSSES])
    new = _note_told([fact for fact in facts if fact.fact in ADDS and fact.note])
    _work_out(new, lost)


def note_states(follow_ids: Iterable[int]) -> None:
    """These relations were fetched; one whose channel code becomes known only now is an add of that code."""
    follows = sorted(set(follow_ids))
    _work_out(session().execute(_SEEN, {"follows": follows}).all(), [])


def count_earlier(code_ids: Sequence[int]) -> None:
    """Codes that were adopted: who came through them before counts, and is not served again."""
    new = session().execute(_EARLIER, {"codes": list(code_ids)}).all()
    _compute({row.follow_id for row in new})


def count_missed() -> None:
    """Relations that only a sync has seen: no callback told their add, so it counts and nobody is served so late."""
    new = session().execute(_MISSED, {"since": utcnow() - MISSED_WITHIN}).all()
    _compute({row.follow_id for row in new})


def _note_losses(facts: Sequence[ContactRecorded]) -> list[int]:
    rows = sorted({(f.follow_id, f.at, "transfer" if f.note == TRANSFER else LOSSES[f.fact]) for f in facts})
    if not rows:
        return []
    follows, times, by = zip(*rows, strict=True)
    values = {"follows": list(follows), "times": list(times), "by": list(by)}
    return list(session().scalars(_LOST, values))


def _note_told(facts: Sequence[ContactRecorded]) -> Sequence[Any]:
    rows = sorted({(f.follow_id, f.at, ADDS[f.fact].value, f.note or "") for f in facts})
    if not rows:
        return []
    follows, times, kinds, states = (list(column) for column in zip(*rows, strict=True))
    values = {"follows": follows, "times": times, "kinds": kinds, "states": states}
    return session().execute(_TOLD, values).all()


_LOST = text("""
INSERT INTO channel_losses (follow_id, at, by)
SELECT * FROM unnest(CAST(:follows AS bigint[]), CAST(:times AS timestamptz[]), CAST(:by AS text[]))
ON CONFLICT DO NOTHING RETURNING follow_id
""")
_TOLD = text("""
INSERT INTO channel_adds (follow_id, channel_code_id, staff_id, at, kind)
SELECT f.id, c.id, f.staff_id, v.at, v.kind
FROM unnest(CAST(:follows AS bigint[]), CAST(:times AS timestamptz[]), CAST(:kinds AS text[]),
  CAST(:states AS text[])) AS v(id, at, kind, state)
JOIN follows f ON f.id = v.id JOIN channel_codes c ON c.state = v.state
ORDER BY f.id, v.at, v.kind
ON CONFLICT (follow_id, at, kind) DO NOTHING RETURNING id, follow_id, channel_code_id
""")
_SEEN_AT = "coalesce(f.state_at, f.added_at, f.half_added_at, f.created_at)"
_NOT_KNOWN = f"""NOT EXISTS (
  SELECT FROM channel_adds a WHERE a.follow_id = f.id AND a.channel_code_id = c.id AND NOT EXISTS (
    SELECT FROM channel_losses l WHERE l.follow_id = f.id AND l.at > a.at AND l.at < {_SEEN_AT}))"""  # noqa: S608  # constants
_ADD_SEEN = f"""
INSERT INTO channel_adds (follow_id, channel_code_id, staff_id, at, kind)
SELECT f.id, c.id, f.staff_id, {_SEEN_AT}, 'seen'
FROM follows f JOIN channel_codes c ON c.state = f.state WHERE %s AND {_NOT_KNOWN}
ORDER BY f.id ON CONFLICT (follow_id, at, kind) DO NOTHING RETURNING id, follow_id, channel_code_id
"""  # noqa: S608  # constants of this module
_SEEN = text(_ADD_SEEN % "f.id = ANY(CAST(:follows AS bigint[]))")
_EARLIER = text(_ADD_SEEN % "c.id = ANY(CAST(:codes AS bigint[]))")
_MISSED = text(_ADD_SEEN % "f.updated_at > :since")


def _work_out(new: Sequence[Any], lost: Sequence[int]) -> None:
    follows = {row.follow_id for row in new} | set(lost)
    if not follows:
        return
    _compute(follows)
    if not new:
        return
    values = {"new": [row.id for row in new], "same": SAME_ADD}
    served = session().execute(_TO_SERVE, values).all()
    _tag(served)
    _want_remarks([row.id for row in served])
    _have_checked(sorted({row.channel_code_id for row in new}))


def _compute(follows: set[int]) -> None:
    if follows:
        session().execute(_COMPUTE, {"follows": sorted(follows), "same": SAME_ADD})


# A span is the time between two losses. In it the first told add counts, and each later one that is neither the full
# add after a half one nor told within the life of a welcome code: then the loss between them was never told to us. What
# was only seen counts when nothing was told.
_COMPUTE = text("""
WITH spans AS (
  SELECT a.id, a.follow_id, a.at, a.kind, a.kind = 'seen' AS seen,
    (SELECT count(*) FROM channel_losses l WHERE l.follow_id = a.follow_id AND l.at < a.at) AS span
  FROM channel_adds a WHERE a.follow_id = ANY(CAST(:follows AS bigint[]))),
neighbours AS (
  SELECT *, bool_or(NOT seen) OVER (PARTITION BY follow_id, span) AS told,
    lag(at) OVER told_order AS before_at, lag(kind) OVER told_order AS before_kind
  FROM spans WINDOW told_order AS (PARTITION BY follow_id, span, seen ORDER BY at, kind <> 'half', id)),
counted AS (
  SELECT *, CASE WHEN before_at IS NULL THEN NOT seen OR NOT told
    ELSE NOT seen AND NOT (before_kind = 'half' AND kind = 'full') AND at - before_at > :same END AS counts
  FROM neighbours),
ends AS (
  SELECT *, CASE WHEN counts THEN row_number() OVER (PARTITION BY follow_id, span, counts ORDER BY at DESC, id DESC) END AS last
  FROM counted),
facts AS (
  SELECT e.id, e.counts, e.span > 0 AS returns, l.at AS lost_at, l.by AS lost_by
  FROM ends e LEFT JOIN LATERAL (
    SELECT at, by FROM channel_losses l WHERE l.follow_id = e.follow_id AND l.at >= e.at AND e.last = 1
    ORDER BY at, by LIMIT 1) l ON true)
UPDATE channel_adds a SET counts = f.counts, returns = f.returns, lost_at = f.lost_at, lost_by = f.lost_by
FROM facts f WHERE a.id = f.id
AND (a.counts, a.returns, a.lost_at, a.lost_by) IS DISTINCT FROM (f.counts, f.returns, f.lost_at, f.lost_by)
""")
# What was known of the relation from that time on was served then; a late callback of the past changes counts only.
_TO_SERVE = text("""
SELECT DISTINCT ON (a.follow_id) a.id, a.follow_id, a.channel_code_id FROM channel_adds a
WHERE a.id = ANY(CAST(:new AS bigint[])) AND a.counts AND NOT EXISTS (
  SELECT FROM channel_adds o WHERE o.follow_id = a.follow_id AND o.id <> ALL(CAST(:new AS bigint[]))
  AND o.at >= a.at - :same)
ORDER BY a.follow_id, a.at DESC, a.id
""")


def _tag(arrived: Sequence[Any]) -> None:
    codes = {row.channel_code_id for row in arrived}
    if not codes:
        return
    pairs = (
        select(ChannelCode.id, Tag.id)
        .join(Tag, Tag.id == ChannelCode.tag_ids.any_())
        .where(ChannelCode.id.in_(codes), Tag.deleted_at.is_(None))
    )
    tags_of: dict[int, list[int]] = {}
    for code_id, tag_id in session().execute(pairs):
        tags_of.setdefault(code_id, []).append(tag_id)
    assign(
        [
            Wish(follow_id=row.follow_id, tag_id=tag_id, source=f"channel:{row.channel_code_id}", add=True)
            for row in arrived
            for tag_id in tags_of.get(row.channel_code_id, [])
        ]
    )


def _want_remarks(add_ids: Sequence[int]) -> None:
    values = {"ids": list(add_ids), "since": utcnow() - REMARK_DAYS}
    session().execute(_WANT_REMARKS, values)


_WANT_REMARKS = text(f"""
UPDATE channel_adds a SET remark_state = '{RemarkState.WANTED}' FROM channel_codes c
WHERE a.id = ANY(CAST(:ids AS bigint[])) AND c.id = a.channel_code_id AND c.remark_rule <> '' AND a.at > :since
""")  # noqa: S608  # a constant


def _have_checked(code_ids: Sequence[int]) -> None:
    """Adds fill caps and use up temporary codes: those codes are looked at again, outside of this transaction.

    Whether a cap is reached cannot be asked here: two batches at once would each see only their own adds. For the same
    reason a code that is due already is marked too: who checks it waits for our commit and sees our adds.
    """
    values = {"ids": list(code_ids), "now": utcnow()}
    if session().scalars(_CHECK, values).all():
        publish(ChecksDue())


_CHECK = text("""
UPDATE channel_codes SET check_at = :now WHERE id IN (
  SELECT id FROM channel_codes WHERE id = ANY(CAST(:ids AS bigint[]))
  AND (daily_cap IS NOT NULL OR caps <> '[]' OR is_temp) ORDER BY id FOR UPDATE)
RETURNING id
""")
