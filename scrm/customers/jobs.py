"""Fetching customers from WeCom: those whose details are wanted. A full sync (scrm.sync) reads all of them."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from config.queues import Queue
from scrm.customers import queries
from scrm.customers.queries import Wanted
from scrm.customers.service.details import CustomerSeen, FollowSeen, apply_details
from scrm.customers.service.wanting import note_refresh_failures
from scrm.kernel import ending
from scrm.kernel.clock import from_epoch, utcnow
from scrm.kernel.db import session, transaction
from scrm.kernel.jobs import job, others_wait
from scrm.kernel.locks import leader
from scrm.wecom.client import Client, wecom
from scrm.wecom.errors import Deferred, WecomError
from scrm.wecom.parallel import run_parallel

ROUND = 500  # customers fetched between two commits
SECONDS = 20.0  # after this a run ends and wakes itself again, so that others of its queue get their turn
PATIENCE_SECONDS = 2.0  # while callbacks pour in, details are fetched together after this long
PAGE = 100  # batch/get_by_user: customers a page and members a call at the most (wecom-api.md section 4.1)
CHUNK_PAGES = 5  # longer lists are split, so that they are read side by side
GONE = {84061, 40096}  # no contact relationship; not a customer of this corp
CONTACT = (
    "name", "avatar", "type", "gender", "unionid", "position", "corp_name", "corp_full_name", "external_profile",
)  # fmt: skip
Json = dict[str, Any]
log = structlog.get_logger(__name__)


@job(Queue.EVENTS, due=queries.refresh_due)
def refresh_customers() -> None:
    """Fetch the customers whose details are wanted; one process at a time, the others' work would be the same."""
    with leader("customers.refresh") as lead:
        if lead is None:
            return
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and not ending.asked.is_set() and not _gives_way():
            if not _refresh_round():
                return
    refresh_customers.wake()


def _gives_way() -> bool:
    """Whether others of the queue wait and nobody's details are late: the more come together, the fewer calls."""
    waits = others_wait(Queue.EVENTS) and not queries.refresh_due(PATIENCE_SECONDS)
    session().rollback()
    return waits


def _refresh_round() -> bool:
    """Fetch and write one round; whether there was anything to do."""
    wanted = queries.wanted_customers(ROUND)
    counts = queries.customer_counts([userid for userid, number in _by_member(wanted).items() if number > 1])
    session().rollback()  # nothing is open while WeCom is called
    if not wanted:
        return False
    asked_at, client = utcnow(), wecom().with_options(stop=ending.asked)
    seen, failed = _fetch(client, wanted, counts)
    with transaction():
        apply_details(seen, asked_at)
        if failed:
            note_refresh_failures(failed, asked_at)
            log.warning(
                "customers could not be fetched", failed=len(failed), errors=sorted(set(failed.values()))
            )
    return True


def _by_member(wanted: Iterable[Wanted]) -> Counter[str]:
    return Counter(one.userid for one in wanted if one.userid)


def _fetch(
    client: Client, wanted: Sequence[Wanted], counts: Mapping[str, int]
) -> tuple[list[CustomerSeen], dict[str, str]]:
    """(what was seen, why by external_userid for the rest); members' whole lists first where that is cheaper."""
    chunks = choose_lists(_by_member(wanted), counts)
    listed = set(itertools.chain.from_iterable(chunk.userids for chunk in chunks))
    sought = {one.external_userid for one in wanted if one.userid in listed}
    lists = run_parallel([partial(_read_list, client, chunk, sought) for chunk in chunks])
    found = {
        row.external_userid: row
        for answer in lists
        if not isinstance(answer, WecomError)
        for row in answer
        if row.external_userid in sought
    }
    singles = [one.external_userid for one in wanted if one.external_userid not in found]
    answers = run_parallel([partial(_read_one, client, id_) for id_ in singles])
    seen = [*found.values(), *(answer for answer in answers if not isinstance(answer, WecomError))]
    failed = {id_: a for id_, a in zip(singles, answers, strict=True) if isinstance(a, WecomError)}
    if ending.asked.is_set():  # who was not asked about only because this process ends is wanted as before
        failed = {id_: error for id_, error in failed.items() if not isinstance(error, Deferred)}
    return seen, {id_: f"{error.errcode or '-'}: {error.kind}" for id_, error in failed.items()}


@dataclass(frozen=True)
class ListChunk:
    """Members whose customers are read as one list; ``most`` pages, because then single calls are cheaper."""

    userids: tuple[str, ...]
    most: int


def choose_lists(wanted: Mapping[str, int], counts: Mapping[str, int]) -> list[ListChunk]:
    """Whose whole list of customers costs fewer calls than asking for each wanted customer.

    :param wanted: how many customers of each member are wanted
    :param counts: how many customers each member has, as far as we know
    """
    cheap = sorted(u for u, number in wanted.items() if number > 1 and counts.get(u, 0) < PAGE * number)
    chunks: list[list[str]] = []
    for userid in cheap:
        last = chunks[-1] if chunks else None
        fits = last and sum(counts.get(u, 0) for u in [*last, userid]) <= PAGE * CHUNK_PAGES
        if last and fits and len(last) < PAGE:
            last.append(userid)
        else:
            chunks.append([userid])
    made = (ListChunk(tuple(chunk), sum(wanted[u] for u in chunk) - 1) for chunk in chunks)
    return [c for c in made if -(-sum(counts.get(u, 0) for u in c.userids) // PAGE) <= c.most]


def _read_list(client: Client, chunk: ListChunk, sought: set[str]) -> list[CustomerSeen]:
    """Customers of some members, page by page until all that are sought were met or it gets too dear."""
    rows: list[CustomerSeen] = []
    missing, cursor = set(sought), ""
    for _ in range(chunk.most):
        page, cursor = read_page(client, chunk.userids, cursor)
        rows += page
        missing -= {row.external_userid for row in page}
        if not cursor or not missing:
            break
    return rows


def read_page(client: Client, userids: Sequence[str], cursor: str) -> tuple[list[CustomerSeen], str]:
    """One page of batch/get_by_user and the cursor of the next ('' after the last)."""
    body = {"userid_list": list(userids), "cursor": cursor, "limit": PAGE}
    answer = client.post("externalcontact/batch/get_by_user", body)
    rows = [
        CustomerSeen(
            row["external_contact"]["external_userid"],
            contact_fields(row["external_contact"]),
            (follow_from(row["follow_info"], row["follow_info"].get("tag_id")),),
            settled=True,
        )
        for row in answer.get("external_contact_list") or []
    ]
    return rows, answer.get("next_cursor") or ""


def _read_one(client: Client, external_userid: str) -> CustomerSeen:
    """A customer with all who follow it; every page or none. 84061 and 40096 say that nobody does any more."""
    follows: list[FollowSeen] = []
    fields: Json = {}
    cursor: str | None = None
    while True:
        try:
            answer = client.get("externalcontact/get", external_userid=external_userid, cursor=cursor)
        except WecomError as error:
            if error.errcode in GONE and cursor is None:
                return CustomerSeen(external_userid, {}, (), complete=True, settled=True)
            raise
        fields = fields or contact_fields(answer["external_contact"])
        follows += [follow_from(row, _enterprise_tags(row)) for row in answer.get("follow_user") or []]
        cursor = answer.get("next_cursor") or None
        if cursor is None:
            return CustomerSeen(external_userid, fields, tuple(follows), complete=True, settled=True)


def _enterprise_tags(row: Json) -> list[str]:
    return [tag["tag_id"] for tag in row.get("tags") or [] if tag.get("tag_id")]


def contact_fields(contact: Json) -> Json:
    """Columns of ``customers`` out of ``external_contact``; what WeCom did not show is left out."""
    return {name: contact[name] for name in CONTACT if contact.get(name) is not None}


def follow_from(row: Json, tag_ids: Sequence[str] | None) -> FollowSeen:
    """A relation out of ``follow_user`` or ``follow_info``."""
    return FollowSeen(
        userid=row["userid"],
        added_at=from_epoch(row["createtime"]),
        remark=row.get("remark"),
        description=row.get("description"),
        remark_corp_name=row.get("remark_corp_name"),
        remark_mobiles=tuple(row.get("remark_mobiles") or ()),
        add_way=row.get("add_way"),
        state=row.get("state") or None,
        oper_userid=row.get("oper_userid"),
        wechat_channels=row.get("wechat_channels"),
        tag_ids=None if tag_ids is None else tuple(tag_ids),
    )
