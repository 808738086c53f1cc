"""People who came into a group through a code: customers get its tags, and groups that WeCom made become the code's.

Which code somebody used stands in their stay (``state``). Who is a stranger then gets the tags with the first relation to
a member. A row per relation and code remembers for which stay, so that a tag somebody took off does not come back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select, text

from scrm.group_entry.models import EntryState, GroupCode
from scrm.group_entry.service.group_codes import put_behind
from scrm.group_entry.service.rotation import refresh
from scrm.kernel.db import session
from tags.models import Tag
from tags.service import Wish, assign

LIVE = "('active', 'half')"
_NOTE = f"""
INSERT INTO group_code_taggings (follow_id, group_code_id, joined_at)
SELECT f.id, c.id, max({{at}})
FROM group_stays s JOIN group_codes c ON c.state = s.state
JOIN customers k ON k.external_userid = s.member_id JOIN follows f ON f.customer_id = k.id
{{of}} AND f.status IN {LIVE} AND c.status <> '{EntryState.DELETED}'
GROUP BY f.id, c.id ORDER BY f.id, c.id
ON CONFLICT (follow_id, group_code_id) DO UPDATE SET joined_at = excluded.joined_at
WHERE group_code_taggings.joined_at < excluded.joined_at
RETURNING follow_id, group_code_id
"""  # noqa: S608  # constants of this module
OF_STAYS = text(_NOTE.format(at="s.joined_at", of="WHERE s.id = ANY(CAST(:stays AS bigint[]))"))
OF_FOLLOWS = text(
    _NOTE.format(
        at="GREATEST(s.joined_at, v.at)",
        of="JOIN unnest(CAST(:follows AS bigint[]), CAST(:times AS timestamptz[])) AS v(id, at) ON v.id = f.id WHERE true",
    )
)
OF_CODE = text(_NOTE.format(at="s.joined_at", of="WHERE c.id = :code AND s.state = c.state"))
_STRANGERS_GROUPS = f"""
SELECT DISTINCT c.id, s.group_id FROM group_stays s JOIN group_codes c ON c.state = s.state
JOIN customer_groups cg ON cg.id = s.group_id
WHERE {{of}} AND c.auto_create_room AND c.status <> '{EntryState.DELETED}' AND cg.status = 'normal'
AND NOT EXISTS (SELECT FROM group_code_groups g WHERE g.group_code_id = c.id AND g.group_id = s.group_id)
"""  # noqa: S608  # same
MADE_GROUPS = text(_STRANGERS_GROUPS.format(of="s.id = ANY(CAST(:stays AS bigint[]))"))
MADE_GROUPS_OF_CODE = text(_STRANGERS_GROUPS.format(of="c.id = :code AND s.state = c.state"))


def note_stays(stay_ids: Iterable[int]) -> None:
    """These people joined, or became known to have joined through a code."""
    ids = {"stays": sorted(set(stay_ids))}
    if ids["stays"]:
        _adopt(session().execute(MADE_GROUPS, ids).all())
        _tag(session().execute(OF_STAYS, ids).all())


def note_follows(follows: Mapping[int, datetime | None]) -> None:
    """These relations began, or were seen: whoever is behind them may have joined through codes.

    :param follows: when the relation was added, by its id: after a loss its tags are gone; None: it was only seen
    """
    ids = sorted(follows)
    if ids:
        _tag(session().execute(OF_FOLLOWS, {"follows": ids, "times": [follows[id_] for id_ in ids]}).all())


def note_missed(code_id: int) -> None:
    """Everything about one code that no event told (what a sync read)."""
    _adopt(session().execute(MADE_GROUPS_OF_CODE, {"code": code_id}).all())
    _tag(session().execute(OF_CODE, {"code": code_id}).all())


def living_codes() -> list[int]:
    """Ids of the codes that are not deleted."""
    alive = select(GroupCode.id).where(GroupCode.status != EntryState.DELETED).order_by(GroupCode.id)
    return list(session().scalars(alive))


def _adopt(made: Iterable[Any]) -> None:
    refresh(put_behind([(row.id, row.group_id) for row in made]))


def _tag(arrived: Any) -> None:
    codes = {row.group_code_id for row in arrived}
    if not codes:
        return
    pairs = (
        select(GroupCode.id, Tag.id)
        .join(Tag, Tag.id == GroupCode.tag_ids.any_())
        .where(GroupCode.id.in_(codes), Tag.deleted_at.is_(None))
    )
    tags_of: dict[int, list[int]] = {}
    for code_id, tag_id in session().execute(pairs):
        tags_of.setdefault(code_id, []).append(tag_id)
    assign(
        [
            Wish(follow_id=row.follow_id, tag_id=tag_id, source=f"group_code:{row.group_code_id}", add=True)
            for row in arrived
            for tag_id in tags_of.get(row.group_code_id, [])
        ]
    )
