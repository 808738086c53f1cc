"""What workers do for a sync. Any number of them work on one run at once: each takes parts with leases."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial

import structlog
from sqlalchemy.exc import SQLAlchemyError

from config.queues import Queue
from scrm.kernel.crashpoints import reached
from scrm.kernel.db import transaction
from scrm.kernel.errors import Conflict
from scrm.kernel.jobs import job
from scrm.kernel.settings import settings
from scrm.sync import queries
from scrm.sync.models import AT_WORK, RunKind
from scrm.sync.service import parts, working
from scrm.sync.service.entities import ENTITIES, STAGES
from scrm.sync.service.members import note_tried
from scrm.sync.service.mending import is_whole, mend
from scrm.sync.service.moving import Need, Work, move_on, work_waits
from scrm.sync.service.pages import Asked, Page
from scrm.sync.service.runs import Wish, locked_run, open_run, start_run
from scrm.sync.service.working import Undone
from scrm.wecom.client import Client, wecom
from scrm.wecom.errors import WecomError
from scrm.wecom.models import Priority
from scrm.wecom.parallel import submit

SECONDS = 10.0  # after this a job makes room for others of its queue and wakes itself again
PATIENCE = 30.0  # how long a call waits for its turn before it is put off
NIGHTLY = Wish(by="clock", kind=RunKind.NIGHTLY)
log = structlog.get_logger(__name__)


@job(Queue.BACKGROUND)
def start_nightly() -> None:
    """Begin the nightly sync of everything, unless a run is at work."""
    _start(NIGHTLY)


@job(Queue.BACKGROUND, due=queries.new_members_due)
def read_new_members() -> None:
    """Members who began to serve customers bring the ones they have, and their groups."""
    with transaction():
        userids = queries.new_members() if open_run() is None else []
    if userids:
        _start(Wish(by="new members", entities=("customers", "groups"), members=userids))


def _start(wish: Wish) -> None:
    with contextlib.suppress(Conflict), transaction():
        start_run(wish)
        note_tried(wish.members)
        return
    log.info("no sync begun, a run is at work", by=wish.by)


@job(Queue.BACKGROUND, due=queries.work_is_due)
def advance() -> None:
    """Work on the open run for some seconds; a waiting worker is called in to help, and this one comes again."""
    if work(SECONDS, call_for_help=advance.wake):
        advance.wake()


def work(seconds: float, call_for_help: Callable[[], None] = lambda: None) -> bool:
    """Do whatever the open run needs, here, for so long at the most; whether there is more to do now.

    :param call_for_help: called once, when there is something to do: others may take part
    """
    until = time.monotonic() + seconds
    more = turn(until, call_for_help)
    while more and time.monotonic() < until:
        more = turn(until)
    return more


def turn(until: float, call_for_help: Callable[[], None] = lambda: None) -> bool:
    """One thing the open run needs: pages of its parts until ``until`` (one of each at least), a slice, or a move on."""
    with transaction():
        run = open_run()
        need = work_waits(run) if run is not None and run.state in AT_WORK else None
        run_id = run.id if run is not None else 0
    if need is None:
        with transaction():  # another one: whoever waits for the run must not hold what its end needs
            return run_id != 0 and move_on(run_id)
    call_for_help()
    if need.work is not Work.READ and not _whole(run_id):
        return True
    if need.work is Work.READ:
        Reading(run_id, need).run(until)
    else:
        _step(run_id, need)
    return True


def _whole(run_id: int) -> bool:
    """Whether all that was staged is there; otherwise the run is put right, and what it needs is looked at again."""
    with transaction():
        if is_whole(run_id):
            return True
    with transaction():
        mend(locked_run(run_id))
    return False


class Reading:
    """Pages this process reads at the moment: one call under way for each part it holds.

    Whenever some have come, their rows and cursors are written in one transaction, free places are filled with further
    parts, and the next calls leave. No transaction is open while a call runs.
    """

    def __init__(self, run_id: int, need: Need) -> None:
        self.run_id = run_id
        self.need = need
        self.flight: dict[Future[Page], Asked] = {}
        self.clients: dict[str, Client] = {}

    def run(self, until: float) -> None:
        """Read until nothing is left to read or the time is over."""
        with transaction():
            claimed = self._claim()
        self._ask(claimed)
        while self.flight:
            done, _ = wait(self.flight, return_when=FIRST_COMPLETED)
            self._ask(self._write([(self.flight.pop(future), future) for future in done], until))

    def _claim(self) -> list[Asked]:
        free = settings().sync.concurrency - len(self.flight)
        return parts.claim_parts(self.run_id, self.need.ready, free) if free > 0 else []

    def _ask(self, asked: list[Asked]) -> None:
        for part in asked:
            entity = ENTITIES[part.entity]
            if entity.feature not in self.clients:
                self.clients[entity.feature] = wecom(
                    priority=Priority.SYNC, feature=entity.feature, patience=PATIENCE
                )
            self.flight[submit(partial(entity.read, self.clients[entity.feature], part))] = part

    def _write(self, done: list[tuple[Asked, Future[Page]]], until: float) -> list[Asked]:
        """Write what came; the parts whose next page is to be asked for now."""
        over = time.monotonic() >= until
        read, failed = _sorted(done)
        reached("sync.pages_read")
        with transaction():
            kept = parts.record_pages(read, release=over)
            pages = {part.id: page for part, page in read}
            working.follow(self.run_id, [part for part in kept if pages[part.id].cursor is None])
            for part, error in failed:
                parts.record_error(part, error, STAGES)
            reached("sync.pages_written")
            fresh = [] if over else self._claim()
        for part, error in failed:
            log.warning(
                "part not read", entity=part.entity, part=part.id, errcode=error.errcode, kind=error.kind
            )
        return fresh + ([] if over else [n for part in kept if (n := _next(part, pages[part.id]))])


def _sorted(
    done: list[tuple[Asked, Future[Page]]],
) -> tuple[list[tuple[Asked, Page]], list[tuple[Asked, WecomError]]]:
    """Answers and errors apart; anything else is raised, and others take the parts over after their leases."""
    read: list[tuple[Asked, Page]] = []
    failed: list[tuple[Asked, WecomError]] = []
    for part, future in done:
        error = future.exception()
        if isinstance(error, WecomError):
            failed.append((part, error))
        else:
            read.append((part, future.result()))
    return read, failed


def _next(part: Asked, page: Page) -> Asked | None:
    """The same part at its next page."""
    if page.cursor is None:
        return None
    return Asked(part.id, part.run_id, part.entity, part.token, part.keys, page.cursor, part.pages + 1, 1)


def _step(run_id: int, need: Need) -> None:
    """One transaction of comparing, applying or closing, of one part."""
    with transaction():
        claimed = parts.claim_parts(run_id, need.ready, 1)
    for part in claimed:
        try:
            _do(part, need.work)
        except SQLAlchemyError as error:
            say = log.exception if part.tries >= parts.TRIES else log.warning
            say(
                "slice not written",
                part=part.id,
                work=need.work,
                tries=part.tries,
                error=type(error).__name__,
            )
            with transaction():
                parts.put_off(part, f"{need.work}: {type(error).__name__}")
        reached("sync.slice_written")


def _do(part: Asked, work_: Work) -> None:
    with transaction():
        dry = working.is_dry(part.run_id)
    if not dry or work_ is not Work.APPLY:
        with transaction():
            working.step(part, work_)
            reached("sync.slice")
        return
    outcome = None
    try:
        with transaction():
            raise Undone(working.step(part, work_))
    except Undone as undone:
        outcome = undone.done
    with transaction():
        if outcome is not None:
            working.record(part, work_, outcome)
