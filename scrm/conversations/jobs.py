"""What workers do for conversations: read customer service, answer by rule, keep accounts and links."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import structlog

from config.queues import Queue
from scrm.conversations import queries
from scrm.conversations.service import kf, kf_sessions, messages, replies
from scrm.kernel.apart import Apart
from scrm.kernel.crashpoints import reached
from scrm.kernel.db import transaction
from scrm.kernel.jobs import job, others_wait
from scrm.wecom.client import Client, wecom
from scrm.wecom.errors import WecomError
from scrm.wecom.models import Priority
from scrm.wecom.parallel import run_parallel

log = structlog.get_logger(__name__)

RUN_SECONDS = 2.0  # the urgent worker has welcomes to plan: no job of its may hold it for long
READ_TIMEOUT = 3.0  # nor may one hanging answer
PATIENCE = 0.5  # nor waiting for a turn
ASK_SECONDS = 2.0  # nor many questions, however long each takes
ACCOUNT_PAGE = 100  # kf/account/list gives at most this many
BAD_TOKEN = 95007  # the callback's token is spent; reading goes on without it


@job(Queue.URGENT, due=queries.pulls_due)
def pull_kf() -> None:
    """Read customer-service accounts to the end of their log, several at a time."""
    until = time.monotonic() + RUN_SECONDS
    while _read_some(until):
        if _turn_is_over(until):
            pull_kf.wake()
            return


def _turn_is_over(until: float) -> bool:
    return time.monotonic() > until or others_wait(Queue.URGENT)


def _read_some(until: float) -> bool:
    """Read some accounts, to their end or as far as the time allows; whether there were any."""
    with transaction():
        claim = kf.claim_pulls()
    readings = [kf.Reading.of(account, claim.token) for account in claim.rows]
    client = _client() if readings else None
    while readings and client:
        answers = run_parallel(
            [partial(client.post, "kf/sync_msg", reading.question()) for reading in readings]
        )
        readings = [r for r, answer in zip(readings, answers, strict=True) if _take(r, answer)]
        if readings and _turn_is_over(until):
            with transaction():
                for reading in readings:
                    kf.give_back(reading)
            break
    return bool(claim.rows)


def _take(reading: kf.Reading, answer: dict[str, Any] | WecomError) -> bool:
    """Store one answer in its own transaction; whether to read on."""
    if isinstance(answer, WecomError):
        if answer.errcode == BAD_TOKEN and reading.token:
            with transaction():
                kf.forget_token(reading)
            return True
        with transaction():
            kf.fail_reading(reading, answer.errcode, answer.errmsg, answer.retry_after)
        log.warning("customer service not read", kf_account=reading.account_id, errcode=answer.errcode)
        return False
    with Apart() as page:  # one we cannot store must not keep the other accounts from being read
        more = _store(reading, answer)
        reached("kf.page-committed")
        return more
    log.error("customer service page not stored", kf_account=reading.account_id, exc_info=page.error)
    with transaction():
        kf.fail_reading(reading, None, f"page not stored: {type(page.error).__name__}", None)
    return False


def _store(reading: kf.Reading, page: dict[str, Any]) -> bool:
    with transaction():
        more = kf.store_page(reading, page)
        if not more:
            kf.finish_reading(reading)
        reached("kf.page-written")
    return more


@job(Queue.URGENT, due=queries.replies_due)
def reply() -> None:
    """Consider new texts and plan the answers; asks WeCom who handles a session where that is unknown."""
    until = time.monotonic() + RUN_SECONDS
    asked: set[int] = set()
    while True:
        with transaction():
            done = replies.answer_round(asked)
        if not done.considered and not done.questions:
            return
        asked |= _ask_states(done.questions)
        if not done.questions and _turn_is_over(until):
            reply.wake()
            return


def _ask_states(questions: Sequence[replies.Question]) -> set[int]:
    """Ask and note; a question WeCom does not answer in time is left open, and WeCom decides when we speak."""
    if not questions:
        return set()
    client, until = _client(), time.monotonic() + ASK_SECONDS
    answers = run_parallel([partial(_state, client, question, until) for question in questions])
    known = {
        question.session_id: answer
        for question, answer in zip(questions, answers, strict=True)
        if answer is not None and not isinstance(answer, WecomError)
    }
    with transaction():
        kf_sessions.note_states(known)
    return {question.session_id for question in questions}


def _state(client: Client, question: replies.Question, until: float) -> dict[str, Any] | None:
    """What WeCom says of this session; None when the round has no time left to ask."""
    if time.monotonic() > until:
        return None
    return client.post("kf/service_state/get", question.where)


def _client() -> Client:
    return wecom(priority=Priority.REPLY, feature="kf", patience=PATIENCE).with_options(
        read_timeout=READ_TIMEOUT
    )


@job(Queue.BACKGROUND)
def link_strangers() -> None:
    """Give messages of former strangers to the customers they became, whatever was missed at the time."""
    with transaction():
        messages.link_customers()
