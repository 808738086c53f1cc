"""Reading links, their customers, figures and quota from WeCom, and using ChatKeys while they live."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog

from config.queues import Queue
from scrm.acquisition_links.models import ReadingKind
from scrm.acquisition_links.service import adoption, chats, days, quota
from scrm.acquisition_links.service.arrivals import Listed, note_listed
from scrm.acquisition_links.service.checks import app_may_call
from scrm.acquisition_links.service.readings import anything_wanted, is_wanted, note_failed, note_read
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session, transaction
from scrm.kernel.jobs import job
from scrm.kernel.locks import leader
from scrm.wecom.asking import pages
from scrm.wecom.client import Client, wecom
from scrm.wecom.errors import WecomError
from scrm.wecom.link_match import FOLDER, link_ids, show_link
from scrm.wecom.models import Priority
from scrm.wecom.parallel import run_parallel

ROUND = 50  # calls between two commits
CUSTOMERS_PAGE = 1000  # wecom-api.md section 4.14
KEYS = 20
SECONDS = 20.0
Json = dict[str, Any]
log = structlog.get_logger(__name__)


def _client(priority: Priority = Priority.SYNC) -> Client:
    return wecom(priority=priority, feature="acquisition_links")


def _reading(kind: ReadingKind, read: Callable[[Client], None]) -> None:
    """Run ``read`` in one process at a time and keep how it went; a WeCom that says no is no failure of the job."""
    with leader(f"acquisition_links.{kind}") as lead:
        session().rollback()  # nothing is open while WeCom is called
        if lead is None or not app_may_call():
            return
        asked_at = utcnow()
        try:
            read(_client())
        except WecomError as error:
            session().rollback()
            with transaction():
                note_failed(kind, error)
            log.warning("could not be read", what=kind, errcode=error.errcode, kind=error.kind)
            return
        with transaction():
            note_read(kind, asked_at)


@job(Queue.BACKGROUND, due=anything_wanted)
def read_wanted() -> None:
    """Read links and quota that are wanted: WeCom told of a change, or somebody asks."""
    for kind, read in ((ReadingKind.LINKS, _pull_links), (ReadingKind.QUOTA, _read_quota)):
        if is_wanted(kind):
            _reading(kind, read)


@job(Queue.BACKGROUND)
def pull_links() -> None:
    """Compare all links with WeCom's, once a day; links made elsewhere are adopted."""
    _reading(ReadingKind.LINKS, _pull_links)


def _pull_links(client: Client) -> None:
    asked_at = utcnow()
    found = list(dict.fromkeys(link_ids(client)))
    missing = set(adoption.known_link_ids()) - set(found)
    session().rollback()
    app = client.gateway.name
    for start in range(0, len(found), ROUND):
        part = found[start : start + ROUND]
        answers = run_parallel([partial(show_link, client, link_id) for link_id in part])
        seen = [
            {"link_id": id_, **a}
            for id_, a in zip(part, answers, strict=True)
            if not isinstance(a, WecomError)
        ]
        with transaction():
            adoption.apply_links_seen(seen, [], asked_at, app)
        if failed := [answer for answer in answers if isinstance(answer, WecomError)]:
            raise failed[0]
    with transaction():
        adoption.apply_links_seen([], sorted(missing), asked_at, app)


@job(Queue.BACKGROUND)
def read_quota() -> None:
    """Read the quota, once a day."""
    _reading(ReadingKind.QUOTA, _read_quota)


def _read_quota(client: Client) -> None:
    asked_at = utcnow()
    answer = client.get("externalcontact/customer_acquisition_quota")
    with transaction():
        quota.note_quota(answer, asked_at)


@job(Queue.BACKGROUND)
def read_statistics() -> None:
    """Have WeCom's figures of every link for the days that are not complete yet; once a day."""
    _reading(ReadingKind.STATISTICS, _read_statistics)


def _read_statistics(client: Client) -> None:
    last = None
    while wanted := days.days_wanted(ROUND, last):
        session().rollback()
        asked_at = utcnow()
        answers = run_parallel([partial(_count, client, one) for one in wanted])
        pairs = list(zip(wanted, answers, strict=True))
        with transaction():
            days.note_days([(one, *a) for one, a in pairs if not isinstance(a, WecomError)], asked_at)
        _stop_where_hopeless([answer for answer in answers if isinstance(answer, WecomError)], len(answers))
        last = (wanted[-1].link, wanted[-1].day)


def _count(client: Client, wanted: days.DayWanted) -> tuple[int, int]:
    body = {"link_id": wanted.link_id, "start_time": wanted.start, "end_time": wanted.end}
    answer = client.post(f"{FOLDER}/statistic", body)
    return int(answer.get("click_link_customer_cnt") or 0), int(answer.get("new_customer_cnt") or 0)


def _stop_where_hopeless(failed: list[WecomError], asked: int) -> None:
    """One link that fails does not keep the others from being counted; where all fail there is no use going on."""
    if failed:
        log.warning("figures could not be read", failed=len(failed), errcode=failed[0].errcode)
    if failed and len(failed) == asked:
        raise failed[0]


@job(Queue.BACKGROUND)
def read_customers() -> None:
    """Read who came through every link, with or without a channel; once a day."""
    _reading(ReadingKind.CUSTOMERS, _read_customers)


def _read_customers(client: Client) -> None:
    links = days.links_to_list()
    failed: list[WecomError] = []
    for id_, link_id in links:
        session().rollback()
        asked_at = utcnow()
        try:
            for page in pages(partial(_customers, client, link_id)):
                listed = [
                    Listed(
                        id_,
                        row["userid"],
                        row["external_userid"],
                        row.get("state") or None,
                        row.get("chat_status"),
                    )
                    for row in page.get("customer_list") or []
                ]
                with transaction():
                    note_listed(listed, asked_at)
        except WecomError as error:
            failed.append(error)
    _stop_where_hopeless(failed, len(links))


def _customers(client: Client, link_id: str, cursor: str | None) -> Json:
    body: Json = {"link_id": link_id, "limit": CUSTOMERS_PAGE} | ({"cursor": cursor} if cursor else {})
    return client.post(f"{FOLDER}/customer", body)


@job(Queue.EVENTS, due=chats.keys_wait)
def read_chats() -> None:
    """Use ChatKeys: they live for half an hour."""
    until = time.monotonic() + SECONDS
    while app_may_call() and time.monotonic() < until:
        with transaction():
            token, keys = chats.claim_keys(KEYS)
        if not keys:
            return
        client = _client(Priority.TAG)
        answers = run_parallel([partial(_chat, client, key.chat_key) for key in keys])
        with transaction():
            chats.note_answers(token, list(zip(keys, answers, strict=True)))


def _chat(client: Client, chat_key: str) -> Json:
    return client.post(f"{FOLDER}/get_chat_info", {"chat_key": chat_key})
