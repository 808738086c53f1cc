"""Recording what callbacks tell about links (wecom-api.md section 3.4): each once, in whatever order they come.

An event is a row. What follows from events is computed from their times, newest first, and what they only hint at (the
quota, a link we do not know) is read from WeCom.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert

from scrm.acquisition_links.events import ChatsTold, LinksDoubted, QuotaDoubted
from scrm.acquisition_links.models import AcquisitionLink, LinkEvent, ReadingKind
from scrm.acquisition_links.service import telling
from scrm.acquisition_links.service.readings import want
from scrm.customers.service.recording import ensure_follows
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish


class LinkFact(StrEnum):
    """WeCom's ChangeType."""

    BALANCE_LOW = "balance_low"
    BALANCE_EXHAUSTED = "balance_exhausted"
    BALANCE_INCREASED = "balance_increased"
    QUOTA_EXPIRE_SOON = "quota_expire_soon"
    LINK_UNAVAILABLE = "link_unavailable"
    DELETE_LINK = "delete_link"
    OPEN_PROFILE = "open_profile"
    FRIEND_REQUEST = "friend_request"
    CUSTOMER_START_CHAT = "customer_start_chat"
    MESSAGE_FROM_CUSTOMER = "message_from_customer"


QUOTA = frozenset({
    LinkFact.BALANCE_LOW, LinkFact.BALANCE_EXHAUSTED, LinkFact.BALANCE_INCREASED, LinkFact.QUOTA_EXPIRE_SOON,
})  # fmt: skip
WORKING = frozenset({LinkFact.OPEN_PROFILE, LinkFact.FRIEND_REQUEST, LinkFact.MESSAGE_FROM_CUSTOMER})
"""Somebody used the link."""
CHAT_KEY_LIFE = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class LinkCallback:
    """One callback about links.

    :param link_id: WeCom's id
    :param expires_at: of quota_expire_soon, with how much expires (``expiring``)
    """

    fact: LinkFact
    at: datetime
    app: str | None = None
    link_id: str | None = None
    state: str | None = None
    userid: str | None = None
    external_userid: str | None = None
    chat_key: str | None = None
    expires_at: datetime | None = None
    expiring: int | None = None

    @property
    def key(self) -> str:
        """The same for the same event, whichever app was told and how often."""
        said = (
            self.fact, self.at, self.link_id, self.state, (self.userid or "").casefold(), self.external_userid,
            self.chat_key, self.expires_at, self.expiring,
        )  # fmt: skip
        return hashlib.sha256(
            orjson.dumps([str(part) if part is not None else None for part in said])
        ).hexdigest()


def record_link_events(callbacks: Sequence[LinkCallback]) -> None:
    """Write the events that are new, and what follows from them."""
    by_key = {one.key: one for one in callbacks}
    if not by_key:
        return
    follows = _follows(by_key.values())
    rows = [_row(key, by_key[key], follows) for key in sorted(by_key)]
    adding = insert(LinkEvent).on_conflict_do_nothing(index_elements=["key"]).returning(LinkEvent.key)
    fresh = [by_key[key] for key in sorted(session().scalars(adding, rows))]
    _note_links(fresh)
    if any(one.fact in QUOTA for one in fresh):
        want(ReadingKind.QUOTA)
        publish(QuotaDoubted())
    if any(one.chat_key and one.at + CHAT_KEY_LIFE > utcnow() for one in fresh):
        publish(ChatsTold())
    telling.tell(fresh)


def _follows(callbacks: Any) -> dict[tuple[str, str], int]:
    named = [(one.userid, one.external_userid) for one in callbacks if one.userid and one.external_userid]
    return ensure_follows(named)


def _row(key: str, one: LinkCallback, follows: dict[tuple[str, str], int]) -> dict[str, Any]:
    alive = one.chat_key is not None and one.at + CHAT_KEY_LIFE > utcnow()
    return {
        "key": key,
        "change_type": one.fact.value,
        "event_at": one.at,
        "link_id": one.link_id,
        "state": one.state,
        "follow_id": follows.get(((one.userid or "").casefold(), one.external_userid or "")),
        "chat_key": one.chat_key if alive else None,
        "chat_error": "the event came after the key's 30 minutes" if one.chat_key and not alive else None,
        "app": one.app,
        "expires_at": one.expires_at,
        "expiring": one.expiring,
    }


_NEWEST = text("""
UPDATE acquisition_links l SET updated_at = now(),
  used_at = GREATEST(l.used_at, r.used_at), unavailable_at = GREATEST(l.unavailable_at, r.unavailable_at),
  gone_at = GREATEST(l.gone_at, r.gone_at), status = CASE WHEN r.gone_at IS NULL THEN l.status ELSE 'deleted' END
FROM jsonb_to_recordset(CAST(:rows AS jsonb))
  AS r(link_id text, used_at timestamptz, unavailable_at timestamptz, gone_at timestamptz)
WHERE l.link_id = r.link_id
""")


def _note_links(callbacks: Sequence[LinkCallback]) -> None:
    """The newest times of what happened to links; one that is new to us, broke or was deleted makes us read the list."""
    news: dict[str, dict[str, Any]] = {}
    for one in callbacks:
        column = _column(one.fact)
        if column and one.link_id:
            row = news.setdefault(one.link_id, {"link_id": one.link_id})
            row[column] = max(one.at, row.get(column, one.at))
    if not news:
        return
    locked = (
        select(AcquisitionLink.link_id).where(AcquisitionLink.link_id.in_(news)).order_by(AcquisitionLink.id)
    )
    known = set(session().scalars(locked.with_for_update(key_share=True)))  # in one order: no deadlock
    session().execute(_NEWEST, {"rows": orjson.dumps([news[key] for key in sorted(news)]).decode()})
    if any(
        link_id not in known or row.keys() & {"unavailable_at", "gone_at"} for link_id, row in news.items()
    ):
        want(ReadingKind.LINKS)
        publish(LinksDoubted())


def recall_events(ids: Sequence[int]) -> None:
    """Links became known: what was told of them before counts as if it came now."""
    values = {"ids": list(ids), "working": sorted(WORKING), "broken": LinkFact.LINK_UNAVAILABLE}
    if ids:
        session().execute(_RECALL, values)


_RECALL = text("""
UPDATE acquisition_links l SET used_at = e.used_at, unavailable_at = e.unavailable_at
FROM (SELECT a.id, max(e.event_at) FILTER (WHERE e.change_type = ANY(CAST(:working AS text[]))) AS used_at,
    max(e.event_at) FILTER (WHERE e.change_type = :broken) AS unavailable_at
  FROM acquisition_links a JOIN link_events e ON e.link_id = a.link_id
  WHERE a.id = ANY(CAST(:ids AS bigint[])) GROUP BY a.id) e
WHERE l.id = e.id
""")


def _column(fact: LinkFact) -> str | None:
    if fact in WORKING:
        return "used_at"
    return {LinkFact.LINK_UNAVAILABLE: "unavailable_at", LinkFact.DELETE_LINK: "gone_at"}.get(fact)
