"""Carrying out the effects of one queue: claim, call in threads, record; a slow call never holds up the others."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import exists, or_, select

from config.queues import Queue
from config.settings import SettingsError
from scrm.kernel.clock import utcnow
from scrm.kernel.crashpoints import reached
from scrm.kernel.db import session, transaction
from scrm.kernel.kept import kept
from scrm.kernel.settings import settings
from scrm.wecom import claiming, outcomes, recording
from scrm.wecom.client import Client, wecom
from scrm.wecom.errors import Retryable, WecomError
from scrm.wecom.gates import Gates, gates
from scrm.wecom.models import EffectState, Priority
from scrm.wecom.outcomes import Outcome, Work
from scrm.wecom.parallel import submit
from scrm.wecom.references import DEAD_MEDIA, Resolver
from scrm.wecom.registry import Answer, Asked, Kind, kinds
from scrm.wecom.telling import untold

log = structlog.get_logger(__name__)

RUN_SECONDS = {Queue.URGENT: 5.0}  # other jobs of the urgent queue shall not wait long
USUAL_RUN_SECONDS = 20.0
STRAGGLER_SECONDS = {Queue.URGENT: 0.5}  # nor for a call that hangs: the next run takes up its outcome
USUAL_STRAGGLER_SECONDS = 30.0
GATHER_SECONDS = 0.05  # how long finished calls wait for others, to be recorded together
TAKE_EVERY_SECONDS = 0.1  # how often new effects are looked for while calls are under way
URGENT_LEASE_SECONDS = 12.0  # a killed worker's welcomes are taken over within their 20 seconds
URGENT_READ_SECONDS = 5.0  # kinds without a time-out of their own, on the urgent queue
LEASE_MARGIN_SECONDS = 3.0  # a lease outlives the longest call, or nothing could ever be sent
AHEAD = 4  # claimed effects per thread
ASK_EVERY = timedelta(seconds=1)  # how often unknown effects are looked for
EXTENSION = "scrm_lanes"

Told = Callable[[], Outcome]


@dataclass
class Memory:
    """What a process remembers of a lane between two runs.

    :param running: calls that have not been recorded yet; a hanging one outlives the run that made it
    :param asked_at: when unknown effects were last looked for; None: there may be some now
    """

    running: dict[Future[Outcome], Work] = field(default_factory=dict)
    asked_at: datetime | None = None


def memory(queue: Queue) -> Memory:
    """This process's memory of ``queue``'s lane."""
    lanes: dict[Queue, Memory] = kept(EXTENSION, dict)
    return lanes.setdefault(queue, Memory())


class Lane:
    """One run of one queue's effects in this process."""

    def __init__(self, queue: Queue) -> None:
        conf = settings()
        self._queue = queue
        self._most = conf.effects.max_attempts
        self._room = min(conf.effects.batch_size, conf.wecom.concurrency * AHEAD)
        urgent = queue == Queue.URGENT
        read = conf.wecom.read_timeout_seconds
        self._read = min(read, URGENT_READ_SECONDS) if urgent else read
        self._connect = conf.wecom.connect_timeout_seconds
        wanted = conf.effects.lease_seconds
        longest = max(self._longest(kind) for kind in kinds().values())
        self._lease = max(
            min(wanted, URGENT_LEASE_SECONDS) if urgent else wanted, longest + LEASE_MARGIN_SECONDS
        )
        self._memory = memory(queue)
        self._running = self._memory.running
        self._clients: dict[str, Client] = {}
        self._take_at = float("-inf")

    def run(self) -> bool:
        """Work until nothing is left, time is over or only hanging calls remain; returns whether there is more."""
        moved = time.monotonic()
        soft = moved + RUN_SECONDS.get(self._queue, USUAL_RUN_SECONDS)
        patience = STRAGGLER_SECONDS.get(self._queue, USUAL_STRAGGLER_SECONDS)
        while True:
            now = time.monotonic()
            if self._take_at <= now < soft and self._take():
                moved = now
            if not self._running:
                return self._take_at <= now
            if self._settle():
                moved = time.monotonic()
            elif now - moved > patience:
                return True

    def _take(self) -> bool:
        """Claim and start what there is room for; says whether there was anything."""
        room = self._room - len(self._running)
        if room <= 0:
            return False
        to_send, to_ask = gates(self._queue)
        with transaction():
            asking = self._claim_to_ask(to_ask, room)
            taken = claiming.taken_identities(asking)
            sending = claiming.claim_to_send(self._queue, to_send, max(1, room - len(asking)), self._lease)
        found = len(asking) + len(sending)
        if found:
            reached("after_claim")
        media = Resolver([work.payload for work in (*asking, *sending)])
        for work in asking:
            self._start_asking(work, taken.get(work.kind.name, frozenset()), media)
        for work in sending:
            self._start_sending(work, media)
        # Less than there was room for: whatever is planned from now on wakes the lane again.
        self._take_at = time.monotonic() + (0.0 if found >= room else TAKE_EVERY_SECONDS)
        return found > 0

    def _claim_to_ask(self, to_ask: Gates, room: int) -> list[Work]:
        asked_at, now = self._memory.asked_at, utcnow()
        if asked_at and now - asked_at < ASK_EVERY:
            return []
        self._memory.asked_at = now
        return claiming.claim_to_ask(self._queue, to_ask, room, self._lease)

    def _start_sending(self, work: Work, media: Resolver) -> None:
        if work.deadline_at and work.deadline_at < utcnow():
            return self._start(work, lambda: outcomes.expired(work))
        asked = Asked(work.id, work.payload, work.sent_at, work.deadline_at)
        return self._start_with_client(work, lambda client: self._send(client, work, asked, media))

    def _start_asking(self, work: Work, taken: frozenset[str], media: Resolver) -> None:
        if work.kind.ask is None:
            return self._start(work, lambda: outcomes.unaskable(work))
        asked = Asked(work.id, work.payload, work.sent_at, work.deadline_at, taken)
        return self._start_with_client(work, lambda client: self._ask(client, work, asked, media))

    def _start_with_client(self, work: Work, call: Callable[[Client], Outcome]) -> None:
        try:
            client = self._client(work).with_options(leave_by=work.until - self._answered_within(work.kind))
        except SettingsError:
            return self._start(work, lambda: outcomes.not_configured(work))
        return self._start(work, lambda: call(client))

    def _start(self, work: Work, told: Told) -> None:
        self._running[submit(told)] = work

    def _client(self, work: Work) -> Client:
        kind = work.kind
        key = f"{work.app}:{kind.name}"
        if key not in self._clients:
            client = wecom(work.app, Priority(kind.priority), patience=kind.patience)
            self._clients[key] = client.with_options(read_timeout=kind.read_timeout or self._read)
        return self._clients[key]

    def _longest(self, kind: Kind) -> float:
        """Seconds that one call of this kind may take, with the wait for its turn."""
        return kind.patience + self._connect + (kind.read_timeout or self._read)

    def _answered_within(self, kind: Kind) -> timedelta:
        """The time a request may take once it leaves: the lease must outlive it, or another worker would ask meanwhile."""
        return timedelta(seconds=self._connect + (kind.read_timeout or self._read))

    def _send(self, client: Client, work: Work, asked: Asked, media: Resolver) -> Outcome:
        """In a thread: send, unless the lease would not last for the whole call or the moment has passed."""
        try:
            filled = replace(asked, payload=media.fill(client, asked.payload))
        except WecomError as error:
            return outcomes.not_ready(work, error, utcnow(), self._most)
        if utcnow() + timedelta(seconds=self._longest(work.kind)) > work.until:
            return outcomes.handed_back(work)
        if work.deadline_at and client.leave_by and work.deadline_at < client.leave_by:
            client = client.with_options(leave_by=work.deadline_at)
        reached("before_send")
        answer: dict[str, Any] | WecomError
        try:
            answer = work.kind.send(client, filled)
            reached("after_wecom_accepted")
        except WecomError as error:
            answer = error
            if error.errcode == DEAD_MEDIA and media.forget(work.payload):
                answer = Retryable(error.api, error.errcode, "a media id had died; its file is uploaded anew")
        return outcomes.after_sending(work, answer, utcnow(), self._most)

    def _ask(self, client: Client, work: Work, asked: Asked, media: Resolver) -> Outcome:
        """In a thread: find out what became of it."""
        assert work.kind.ask is not None  # noqa: S101  # _start_asking took care
        answer: Answer | WecomError
        reached("before_ask")
        try:
            answer = work.kind.ask(client, replace(asked, payload=media.fill(client, asked.payload)))
        except WecomError as error:
            answer = error
        reached("after_ask")
        return outcomes.after_asking(work, answer, utcnow(), self._most)

    def _settle(self) -> bool:
        """Record the calls that have ended; says whether there were any."""
        done, _ = wait(self._running, timeout=GATHER_SECONDS)
        if not done:
            return False
        works = {future: self._running[future] for future in done}
        told = [_told(future, work, self._most) for future, work in works.items()]
        reached("before_record")
        recording.record(told)
        reached("after_record")
        for future in done:
            del self._running[future]
        if any(work.kind.in_order for work in works.values()):
            self._take_at = float("-inf")  # the next of its subject may go now
        if any(outcome.state == EffectState.UNKNOWN for outcome in told):
            self._memory.asked_at = None
        return True


def _told(future: Future[Outcome], work: Work, most: int) -> Outcome:
    error = future.exception()
    if error is None:
        return future.result()
    log.error("effect could not be carried out", effect_id=work.id, kind=work.kind.name, exc_info=error)
    return outcomes.defective(work, error, utcnow(), most)


def has_work(queue: Queue) -> bool:
    """Whether ``queue`` has an effect to send or to ask about now; cheap, for the clock."""
    now = utcnow()
    due = or_(claiming.sendable(queue, now), claiming.askable(queue, now), untold(queue, now))
    return bool(session().scalar(select(exists().where(due, claiming.free(now)))))
