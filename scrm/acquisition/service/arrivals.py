"""People who came through a channel code: remembered once per add, and given the code's tags.

The memory is a row per follow relation. Without it, a tag that a member took away would come back with the next
edit of the customer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select, text

from scrm.acquisition.models import ChannelCode
from scrm.kernel.db import session
from tags.models import Tag
from tags.service import Wish, assign

ADDED = text("""
INSERT INTO channel_adds (follow_id, channel_code_id, at)
SELECT f.id, c.id, v.at
FROM unnest(CAST(:follows AS bigint[]), CAST(:times AS timestamptz[])) AS v(id, at)
JOIN follows f ON f.id = v.id JOIN channel_codes c ON c.state = f.state
ORDER BY f.id
ON CONFLICT (follow_id) DO UPDATE SET channel_code_id = excluded.channel_code_id, at = excluded.at
WHERE channel_adds.at < excluded.at
RETURNING follow_id, channel_code_id
""")
SEEN = text("""
INSERT INTO channel_adds (follow_id, channel_code_id, at)
SELECT f.id, c.id, coalesce(f.added_at, f.half_added_at, f.created_at)
FROM follows f JOIN channel_codes c ON c.state = f.state
WHERE f.id = ANY(CAST(:follows AS bigint[]))
ORDER BY f.id
ON CONFLICT (follow_id) DO UPDATE SET channel_code_id = excluded.channel_code_id, at = excluded.at
WHERE channel_adds.channel_code_id <> excluded.channel_code_id
RETURNING follow_id, channel_code_id
""")


def note_adds(added: Mapping[int, datetime]) -> None:
    """These relations were added at these times; those through a channel code get its tags, again after a loss."""
    follows = sorted(added)
    _tag(session().execute(ADDED, {"follows": follows, "times": [added[id_] for id_ in follows]}).all())


def note_states(follow_ids: Iterable[int]) -> None:
    """These relations were fetched; one whose channel code becomes known only now gets its tags."""
    _tag(session().execute(SEEN, {"follows": sorted(set(follow_ids))}).all())


def _tag(arrived: Any) -> None:
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
