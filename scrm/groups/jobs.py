"""Reading customer groups from WeCom: those that changed, and once a day all of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import structlog

from config.queues import Queue
from scrm.groups import queries
from scrm.groups.queries import WantedGroup
from scrm.groups.service.details import (
    GroupSeen,
    MemberSeen,
    apply_groups,
    note_group_failures,
    want_groups,
)
from scrm.groups.service.recording import GroupEvent, GroupFact, record_group_events
from scrm.kernel.clock import from_epoch, utcnow
from scrm.kernel.db import session, transaction
from scrm.kernel.jobs import job
from scrm.kernel.locks import leader
from scrm.wecom.client import Client, wecom
from scrm.wecom.errors import WecomError
from scrm.wecom.parallel import run_parallel

ROUND = 50  # groups read between two commits; a group has at most 500 members
SECONDS = 20.0
LIST_LIMIT, OWNERS = 1000, 100  # groupchat/list (wecom-api.md section 4.7)
TOO_MANY = 81017  # over 1000 visible people: ask by owner
DISSOLVED = 49008
Json = dict[str, Any]
log = structlog.get_logger(__name__)


@job(Queue.EVENTS, due=queries.refresh_due)
def refresh_groups() -> None:
    """Read groups that changed; one process at a time, the others' work would be the same."""
    with leader("groups.refresh") as lead:
        if lead is None:
            return
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if not _refresh_round():
                return
    refresh_groups.wake()


def _refresh_round() -> bool:
    wanted = queries.wanted_groups(ROUND)
    session().rollback()  # nothing is open while WeCom is called
    if not wanted:
        return False
    asked_at, client = utcnow(), wecom()
    answers = run_parallel([partial(_read, client, one) for one in wanted])
    pairs = list(zip(wanted, answers, strict=True))
    errors = {one.chat_id: answer for one, answer in pairs if isinstance(answer, WecomError)}
    dissolved = [chat_id for chat_id, error in errors.items() if error.errcode == DISSOLVED]
    failed = {id_: f"{e.errcode or '-'}: {e.kind}" for id_, e in errors.items() if id_ not in dissolved}
    with transaction():
        apply_groups([answer for answer in answers if not isinstance(answer, WecomError)], asked_at)
        record_group_events([GroupEvent(id_, GroupFact.DISMISSED, asked_at) for id_ in dissolved])
        if failed:
            note_group_failures(failed, asked_at)
            log.warning("groups could not be read", failed=len(failed), errors=sorted(set(failed.values())))
    return True


def _read(client: Client, wanted: WantedGroup) -> GroupSeen:
    body = {"chat_id": wanted.chat_id, "need_name": 1}
    shown = client.post("externalcontact/groupchat/get", body)["group_chat"]
    return group_from(shown, wanted.version)


def group_from(shown: Json, stored_version: str | None) -> GroupSeen:
    """A group out of ``group_chat`` of groupchat/get."""
    founded = shown.get("create_time")
    return GroupSeen(
        chat_id=shown["chat_id"],
        name=shown.get("name"),
        notice=shown.get("notice"),
        owner_userid=shown.get("owner"),
        founded_at=from_epoch(founded) if founded else None,
        version=shown.get("member_version"),
        members=tuple(_member(row) for row in shown.get("member_list") or []),
        stored_version=stored_version,
    )


def _member(row: Json) -> MemberSeen:
    return MemberSeen(
        member_id=row["userid"],
        member_type=row["type"],
        joined_at=from_epoch(row["join_time"]),
        join_scene=row.get("join_scene"),
        invitor_userid=(row.get("invitor") or {}).get("userid"),
        state=row.get("state") or None,
        name=row.get("name"),
        group_nickname=row.get("group_nickname") or None,
        unionid=row.get("unionid"),
    )


@job(Queue.BACKGROUND)
def pull_groups() -> None:
    """Find all groups and have each read again; once a day, and when members begin to serve customers."""
    with leader("groups.pull") as lead:
        if lead is None:
            return
        session().rollback()
        try:
            found = _list_all(wecom())
        except WecomError as error:
            log.warning("groups could not be listed", errcode=error.errcode, kind=error.kind)
            return
        for start in range(0, len(found), LIST_LIMIT):
            with transaction():
                want_groups(found[start : start + LIST_LIMIT])
        log.info("groups listed", groups=len(found))


def _list_all(client: Client) -> list[str]:
    try:
        return _list(client, None)
    except WecomError as error:
        if error.errcode != TOO_MANY:
            raise
    userids: list[str] = client.get("externalcontact/get_follow_user_list")["follow_user"]
    chunks = [userids[start : start + OWNERS] for start in range(0, len(userids), OWNERS)]
    return [chat_id for chunk in chunks for chat_id in _list(client, chunk)]


def _list(client: Client, owners: Sequence[str] | None) -> list[str]:
    body: Json = {"status_filter": 0, "limit": LIST_LIMIT}
    if owners is not None:
        body["owner_filter"] = {"userid_list": list(owners)}
    found: list[str] = []
    while True:
        answer = client.post("externalcontact/groupchat/list", body)
        found += [row["chat_id"] for row in answer.get("group_chat_list") or []]
        body["cursor"] = answer.get("next_cursor") or ""
        if not body["cursor"]:
            return found
