"""Reading customer groups from WeCom: those that changed. A full sync (scrm.sync) finds all of them."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import structlog

from config.queues import Queue
from scrm.groups import queries
from scrm.groups.queries import WantedGroup
from scrm.groups.service.details import (
    GroupSeen,
    apply_groups,
    note_group_failures,
)
from scrm.groups.service.parsing import group_from
from scrm.groups.service.recording import GroupEvent, GroupFact, record_group_events
from scrm.kernel import ending
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session, transaction
from scrm.kernel.jobs import job
from scrm.kernel.locks import leader
from scrm.wecom.client import Client, wecom
from scrm.wecom.errors import Deferred, WecomError
from scrm.wecom.parallel import run_parallel

ROUND = 50  # groups read between two commits; a group has at most 500 members
SECONDS = 20.0
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
        while time.monotonic() < end and not ending.asked.is_set():
            if not _refresh_round():
                return
    refresh_groups.wake()


def _refresh_round() -> bool:
    wanted = queries.wanted_groups(ROUND)
    session().rollback()  # nothing is open while WeCom is called
    if not wanted:
        return False
    asked_at, client = utcnow(), wecom().with_options(stop=ending.asked)
    answers = run_parallel([partial(_read, client, one) for one in wanted])
    pairs = list(zip(wanted, answers, strict=True))
    errors = {one.chat_id: answer for one, answer in pairs if isinstance(answer, WecomError)}
    if ending.asked.is_set():  # what was not asked about only because this process ends is wanted as before
        errors = {id_: error for id_, error in errors.items() if not isinstance(error, Deferred)}
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
