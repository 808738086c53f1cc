"""What workers do for outgoing webhooks."""

from __future__ import annotations

import contextvars
import os
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import structlog

from config.queues import Queue
from scrm.kernel.clock import utcnow
from scrm.kernel.crashpoints import reached
from scrm.kernel.db import transaction
from scrm.kernel.jobs import job, others_wait
from scrm.kernel.kept import kept
from scrm.kernel.settings import settings
from scrm.webhooks.service import claiming, recording, redelivery
from scrm.webhooks.service.addresses import Rules
from scrm.webhooks.service.claiming import Work
from scrm.webhooks.service.lines import Lines
from scrm.webhooks.service.posting import USER_AGENT, Answer, Post
from scrm.webhooks.service.recording import Outcome

log = structlog.get_logger(__name__)
RUN_SECONDS = 10.0  # the queue has other jobs too; what is in flight then is taken up by the next run
PATIENCE_SECONDS = 1.0  # a run ends sooner when nothing moves but slow receivers
LEAST_SECONDS = 1.0  # a run works at least so long, even if others wait
TAKE_EVERY_SECONDS = (
    0.2  # how often new deliveries are looked for while there were fewer than there was room for
)
PAUSE_SECONDS = 0.1  # how long a first answer is waited for
GATHER_SECONDS = 0.005  # how long it waits for others, to be recorded together
EXTENSION = "scrm_webhooks"
NO_SECRET = Answer(None, "its secret cannot be opened: webhooks.secret_key changed; rotate the secret", 0)
_pools: dict[int, ThreadPoolExecutor] = {}
os.register_at_fork(after_in_child=_pools.clear)  # a forked process has none of its parent's threads


@dataclass
class Courier:
    """The deliveries that this process is sending; a slow one outlives the run that began it."""

    flying: dict[Future[Answer], tuple[Work, Post | None]] = field(default_factory=dict)
    lines: Lines = field(default_factory=Lines)
    take_at: float = 0.0  # time.monotonic()

    def run(self) -> bool:
        """Send until nothing is left or it is time to give way; returns whether there is more."""
        began = moved = time.monotonic()
        self.take_at = 0.0
        while True:
            now = time.monotonic()
            if self.take_at <= now < began + RUN_SECONDS and self._take():
                moved = now
            if not self.flying:
                self.lines.close_old()
                return False
            if self._settle():
                moved = now
            if now - began > LEAST_SECONDS and self._gives_way(now - began, now - moved):
                return True

    def _gives_way(self, worked: float, idle: float) -> bool:
        return worked > RUN_SECONDS or idle > PATIENCE_SECONDS or others_wait(Queue.BACKGROUND)

    def _take(self) -> bool:
        """Claim and start what there is room for; says whether there was anything."""
        room = settings().webhooks.concurrency - len(self.flying)
        if room <= 0:
            return False
        busy = Counter(work.endpoint_id for work, _ in self.flying.values())
        with transaction():
            claiming.need_not_last()
            works = claiming.claim_deliveries(room, busy)
        if works:
            reached("webhooks_claimed")
        for work in works:
            self._start(work)
        self.take_at = 0.0 if works else time.monotonic() + TAKE_EVERY_SECONDS
        return bool(works)

    def _start(self, work: Work) -> None:
        conf = settings().webhooks
        if not work.secrets:
            unsigned: Future[Answer] = Future()
            unsigned.set_result(NO_SECRET)
            self.flying[unsigned] = work, None
            return
        post = Post(
            work.url, self.lines, Rules.of(conf), connect_seconds=conf.connect_timeout_seconds, seconds=conf.timeout_seconds,
            ca_file=conf.ca_file,
        )  # fmt: skip
        run = contextvars.copy_context().run
        self.flying[_pool(conf.concurrency).submit(run, _send, work, post)] = work, post

    def _settle(self) -> bool:
        """Record what was answered; says whether there was anything."""
        wait(self.flying, timeout=PAUSE_SECONDS, return_when=FIRST_COMPLETED)
        done, _ = wait(self.flying, timeout=GATHER_SECONDS)
        for _work, post in self.flying.values():
            if post is not None:
                post.abort_if_late()
        if not done:
            return False
        ended = [Outcome(self.flying[future][0], _answer(future, self.flying[future][0])) for future in done]
        reached("webhooks_answered")
        with transaction():
            claiming.need_not_last()
            recording.record(ended)
        for future in done:
            del self.flying[future]
        self.take_at = 0.0  # there is room again, perhaps for an endpoint whose share was used up
        return True


def _send(work: Work, post: Post) -> Answer:
    """In a thread: sign at the moment of the attempt, and send."""
    return post.run(work.body, {**work.headers(utcnow()), "User-Agent": USER_AGENT})


def _answer(future: Future[Answer], work: Work) -> Answer:
    error = future.exception()
    if error is None:
        return future.result()
    log.error("webhook could not be sent", delivery_id=work.id, endpoint_id=work.endpoint_id, exc_info=error)
    return Answer(None, f"defect: {type(error).__name__}", 0)


def _pool(size: int) -> ThreadPoolExecutor:
    if size not in _pools:
        _pools[size] = ThreadPoolExecutor(size, thread_name_prefix="webhooks")
    return _pools[size]


def _due() -> bool:
    return claiming.has_work()


@job(Queue.BACKGROUND, due=_due)
def deliver() -> None:
    """Send what is due; each endpoint has its share, so that a slow or dead one does not hold up the others."""
    if kept(EXTENSION, Courier).run():
        deliver.wake()


@job(Queue.BACKGROUND)
def forget_events() -> None:
    """Delete events older than ``webhooks.retention_days`` with their deliveries."""
    total = 0
    while True:
        with transaction():
            gone = redelivery.forget_events()
        total += gone
        if not gone:
            break
    log.info("old webhook events forgotten", events=total)
