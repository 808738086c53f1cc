"""People who came through a link: remembered once per add, and given the tags of the link and of its channel.

Three sources say so, in any order: the add's ``state`` (with a channel), WeCom's list of a link's customers (once a day,
also without one), and a ChatKey. The memory is a row per link and relation; without it a tag that somebody took off
would come back with the next edit of the customer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import select, text

from scrm.acquisition_links.models import AcquisitionLink, LinkChannel
from scrm.customers.service.wanting import want_refresh
from scrm.kernel.db import session
from tags.models import Tag
from tags.service import Wish, assign

ADDED = text("""
INSERT INTO link_arrivals (acquisition_link_id, follow_id, link_channel_id, state, at)
SELECT c.acquisition_link_id, f.id, c.id, f.state, v.at
FROM unnest(CAST(:follows AS bigint[]), CAST(:times AS timestamptz[])) AS v(id, at)
JOIN follows f ON f.id = v.id JOIN link_channels c ON c.state = f.state
ORDER BY 1, 2
ON CONFLICT (acquisition_link_id, follow_id) DO UPDATE SET
  at = excluded.at, link_channel_id = excluded.link_channel_id, state = excluded.state
WHERE link_arrivals.at < excluded.at
RETURNING acquisition_link_id, follow_id, link_channel_id
""")
SEEN = text("""
INSERT INTO link_arrivals AS a (acquisition_link_id, follow_id, link_channel_id, state, at)
SELECT c.acquisition_link_id, f.id, c.id, f.state, coalesce(f.added_at, f.half_added_at, f.created_at)
FROM follows f JOIN link_channels c ON c.state = f.state
WHERE f.id = ANY(CAST(:follows AS bigint[]))
ORDER BY 1, 2
ON CONFLICT (acquisition_link_id, follow_id) DO UPDATE SET
  link_channel_id = excluded.link_channel_id, state = excluded.state
WHERE a.link_channel_id IS DISTINCT FROM excluded.link_channel_id
RETURNING acquisition_link_id, follow_id, link_channel_id
""")
LISTED = text("""
INSERT INTO link_arrivals AS a
  (acquisition_link_id, follow_id, link_channel_id, state, at, chat_status, listed_at)
SELECT r.link, f.id, c.id, NULLIF(r.state, ''), coalesce(f.added_at, f.half_added_at, f.created_at), r.chat_status,
  :listed_at
FROM jsonb_to_recordset(CAST(:rows AS jsonb))
  AS r(link bigint, userid text, external_userid text, state text, chat_status bigint)
JOIN customers k ON k.external_userid = r.external_userid
JOIN staff s ON lower(s.userid) = lower(r.userid)
JOIN follows f ON f.customer_id = k.id AND f.staff_id = s.id
LEFT JOIN link_channels c ON c.state = NULLIF(r.state, '') AND c.acquisition_link_id = r.link
ORDER BY 1, 2
ON CONFLICT (acquisition_link_id, follow_id) DO UPDATE SET listed_at = excluded.listed_at,
  chat_status = COALESCE(excluded.chat_status, a.chat_status),
  link_channel_id = COALESCE(excluded.link_channel_id, a.link_channel_id), state = COALESCE(excluded.state, a.state)
WHERE (a.chat_status, a.link_channel_id, a.state) IS DISTINCT FROM
  (COALESCE(excluded.chat_status, a.chat_status), COALESCE(excluded.link_channel_id, a.link_channel_id),
   COALESCE(excluded.state, a.state)) OR a.listed_at IS NULL
RETURNING new.acquisition_link_id, new.follow_id, new.link_channel_id,
  old.follow_id IS NULL OR old.link_channel_id IS DISTINCT FROM new.link_channel_id AS is_news
""")
_UNKNOWN = text("""
SELECT DISTINCT r.external_userid
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(userid text, external_userid text)
WHERE NOT EXISTS (SELECT FROM follows f JOIN customers k ON k.id = f.customer_id JOIN staff s ON s.id = f.staff_id
  WHERE k.external_userid = r.external_userid AND lower(s.userid) = lower(r.userid))
""")


@dataclass(frozen=True, slots=True)
class Listed:
    """One customer of one link, as WeCom lists them (or as a ChatKey tells).

    :param link: our id of the link
    :param chat_status: 0 no message, 1 sent, 2 unknown; None: not said
    """

    link: int
    userid: str
    external_userid: str
    state: str | None = None
    chat_status: int | None = None


def note_adds(added: Mapping[int, datetime]) -> None:
    """These relations were added at these times; those through a channel of a link get its tags, again after a loss."""
    follows = sorted(added)
    _tag(session().execute(ADDED, {"follows": follows, "times": [added[id_] for id_ in follows]}).all())


def note_states(follow_ids: Iterable[int]) -> None:
    """These relations were fetched; one whose channel becomes known only now gets its tags."""
    _tag(session().execute(SEEN, {"follows": sorted(set(follow_ids))}).all())


def note_listed(listed: Sequence[Listed], at: datetime) -> int:
    """WeCom names these people as customers of links; those who are news get the tags.

    A relation we do not know yet is asked for; it comes with the next list.

    :returns: how many rows were new or changed
    """
    rows = [
        {
            "link": one.link, "userid": one.userid, "external_userid": one.external_userid, "state": one.state,
            "chat_status": one.chat_status,
        }
        for one in sorted(_once(listed), key=lambda o: (o.link, o.external_userid, o.userid))
    ]  # fmt: skip
    if not rows:
        return 0
    values = {"rows": orjson.dumps(rows).decode(), "listed_at": at}
    written = session().execute(LISTED, values).all()
    _tag([row for row in written if row.is_news])
    want_refresh(session().scalars(_UNKNOWN, {"rows": values["rows"]}))
    return len(written)


def _once(listed: Sequence[Listed]) -> Iterable[Listed]:
    """One row per link and relation, whatever WeCom names twice: what is said later, where it is said."""
    found: dict[tuple[int, str, str], Listed] = {}
    for one in listed:
        relation = one.link, one.userid.casefold(), one.external_userid
        before = found.get(relation, one)
        status = before.chat_status if one.chat_status is None else one.chat_status
        found[relation] = replace(before, state=one.state or before.state, chat_status=status)
    return found.values()


def _tag(arrived: Sequence[Any]) -> None:
    if not arrived:
        return
    of_link = _tags_of(AcquisitionLink, {row.acquisition_link_id for row in arrived})
    of_channel = _tags_of(LinkChannel, {row.link_channel_id for row in arrived if row.link_channel_id})
    assign(
        [
            Wish(follow_id=row.follow_id, tag_id=tag_id, source=f"link:{row.acquisition_link_id}", add=True)
            for row in arrived
            for tag_id in {
                *of_link.get(row.acquisition_link_id, ()),
                *of_channel.get(row.link_channel_id, ()),
            }
        ]
    )


def _tags_of(table: Any, ids: set[int]) -> dict[int, list[int]]:
    """Living tags by id of the link or channel."""
    if not ids:
        return {}
    pairs = (
        select(table.id, Tag.id)
        .join(Tag, Tag.id == table.tag_ids.any_())
        .where(table.id.in_(ids), Tag.deleted_at.is_(None))
    )
    found: dict[int, list[int]] = {}
    for id_, tag_id in session().execute(pairs):
        found.setdefault(id_, []).append(tag_id)
    return found
