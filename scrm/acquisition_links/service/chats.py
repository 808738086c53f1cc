"""ChatKeys: for half an hour they tell who wrote, after how many messages, through which link and channel."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_, select, update

from scrm.acquisition_links.models import AcquisitionLink, LinkEvent
from scrm.acquisition_links.service.arrivals import Listed, note_listed
from scrm.acquisition_links.service.recording import CHAT_KEY_LIFE
from scrm.customers.service.recording import ensure_follows
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.leases import RELEASED, claim, held
from scrm.wecom.errors import WecomError

LEASE_SECONDS = 60.0
SENT = 1  # chat_status of somebody who wrote
BACKOFF_SECONDS = 10.0


@dataclass(frozen=True)
class Key:
    """A ChatKey in this worker's hands."""

    id: int
    chat_key: str
    attempts: int


def claim_keys(limit: int) -> tuple[uuid.UUID, list[Key]]:
    """Take keys that may still be used; those that died while waiting are written off first."""
    expired = (
        update(LinkEvent)
        .where(LinkEvent.chat_key.is_not(None), LinkEvent.event_at < utcnow() - CHAT_KEY_LIFE)
        .values(chat_key=None, chat_error="not asked about within the key's 30 minutes", **RELEASED)
    )
    session().execute(expired)
    taken = claim(
        LinkEvent, ready=_waiting(), order_by=LinkEvent.event_at, limit=limit, seconds=LEASE_SECONDS, values={}
    )  # fmt: skip
    return taken.token, [Key(row.id, row.chat_key, row.attempts) for row in taken.rows]


def keys_wait() -> bool:
    """Whether some key should be used now."""
    now = utcnow()
    free = or_(LinkEvent.lease_until.is_(None), LinkEvent.lease_until < now)
    return bool(session().scalar(select(exists().where(_waiting(), free))))


def _waiting() -> ColumnElement[bool]:
    due = or_(LinkEvent.next_at.is_(None), LinkEvent.next_at <= utcnow())
    return and_(LinkEvent.chat_key.is_not(None), due)


def note_answers(token: uuid.UUID, answers: Sequence[tuple[Key, dict[str, Any] | WecomError]]) -> None:
    """Write what keys told; a failure that passes is tried again while the key lives."""
    ours = set(session().scalars(select(LinkEvent.id).where(held(LinkEvent, token)).with_for_update()))
    told = [(key, answer) for key, answer in answers if key.id in ours]
    good = [(key, answer) for key, answer in told if not isinstance(answer, WecomError)]
    follows = ensure_follows((a["userid"], a["external_userid"]) for _, a in good)
    for key, answer in told:
        if isinstance(answer, WecomError):
            _note_failure(key, answer)
        else:
            pair = answer["userid"].casefold(), answer["external_userid"]
            _note_chat(key, answer.get("chat_info") or {}, follows[pair])
    _note_arrivals([answer for _, answer in good])


def _note_chat(key: Key, info: dict[str, Any], follow_id: int) -> None:
    values = {
        "follow_id": follow_id,
        "received": info.get("recv_msg_cnt"),
        "state": info.get("state") or None,
        "chat_key": None,
        "chat_error": None,
    }
    session().execute(update(LinkEvent).where(LinkEvent.id == key.id).values(**values, **RELEASED))


def _note_failure(key: Key, error: WecomError) -> None:
    values: dict[str, Any] = {"chat_error": f"{error.errcode or '-'} {error.errmsg}"}
    if error.passing:
        values["next_at"] = utcnow() + timedelta(seconds=BACKOFF_SECONDS * 2 ** min(key.attempts, 6))
    else:
        values["chat_key"] = None
    session().execute(update(LinkEvent).where(LinkEvent.id == key.id).values(**values, **RELEASED))


def _note_arrivals(answers: Sequence[dict[str, Any]]) -> None:
    infos = [(answer, answer.get("chat_info") or {}) for answer in answers]
    links = select(AcquisitionLink.link_id, AcquisitionLink.id).where(
        AcquisitionLink.link_id.in_({info.get("link_id") for _, info in infos})
    )
    ids = dict(session().execute(links).all())
    listed = [
        Listed(
            ids[info["link_id"]], answer["userid"], answer["external_userid"], info.get("state") or None, SENT
        )
        for answer, info in infos
        if info.get("link_id") in ids
    ]
    note_listed(listed, utcnow())
