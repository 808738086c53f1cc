"""What workers do for acquisition."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import structlog

from config.queues import Queue
from scrm.acquisition.queries import due
from scrm.acquisition.service import arrivals, greeting, keeping, pictures, remark_rules
from scrm.kernel.db import transaction
from scrm.kernel.jobs import Job, job, others_wait
from scrm.kernel.settings import settings
from scrm.wecom.client import Client, wecom
from scrm.wecom.errors import WecomError
from scrm.wecom.models import Priority
from scrm.wecom.parallel import run_parallel
from scrm.wecom.pictures import fetch_picture, picture_address
from scrm.wecom.qr_codes import content_of

RUN_SECONDS = 2.0  # the urgent worker has other welcomes to plan
LONG_RUN_SECONDS = 20.0  # on queues where nobody waits for seconds
NAME_TIMEOUT = 2.0  # seconds one question for a name may take
NAMES_SECONDS = 3.0  # and all questions of a round; the welcomes need the rest of their 20
log = structlog.get_logger(__name__)


@job(Queue.URGENT, due=due.names_wanted)
def plan_nameless_welcomes() -> None:
    """Ask WeCom for the names that welcomes want to say, many at once, and plan those welcomes."""
    until = time.monotonic() + RUN_SECONDS
    while _plan_some():
        if time.monotonic() > until or others_wait(Queue.URGENT):
            plan_nameless_welcomes.wake()
            return


@job(Queue.EVENTS, due=due.checks_due)
def keep_codes_current() -> None:
    """Work out who serves the codes whose time has come, and have WeCom told where it really changes."""
    _in_batches(keep_codes_current, keeping.keep_due, keeping.BATCH)


@job(Queue.BACKGROUND, due=due.staff_changed)
def notice_staff_changes() -> None:
    """Members were disabled or came back without an event of their own: their codes are checked."""
    with transaction():
        if keeping.have_checked(due.changed_staff()):
            keep_codes_current.wake()


@job(Queue.BACKGROUND)
def check_all_codes() -> None:
    """Look at every code and every add once a day, whatever was missed; calls nobody where nothing differs."""
    with transaction():
        arrivals.count_missed()
        remark_rules.give_up_remarks()
        if keeping.have_checked(everything=True):
            keep_codes_current.wake()


@job(Queue.EVENTS, due=remark_rules.remarks_due)
def set_remarks() -> None:
    """Plan the remarks of newcomers of whom enough is known by now."""
    _in_batches(set_remarks, remark_rules.plan_remarks, remark_rules.BATCH)


@job(Queue.BACKGROUND, due=due.pictures_due)
def read_pictures() -> None:
    """Fetch the QR codes that WeCom made and keep what stands in them."""
    until = time.monotonic() + LONG_RUN_SECONDS
    while _read_some():
        if time.monotonic() > until:
            read_pictures.wake()
            return


def _in_batches(made: Job, work: Callable[[], int], batch: int) -> None:
    """Work batch by batch, each in a transaction of its own, until one is not full or time is over."""
    until = time.monotonic() + LONG_RUN_SECONDS
    while True:
        with transaction():
            done = work()
        if done < batch:
            return
        if time.monotonic() > until or others_wait(made.queue):
            made.wake()
            return


def _read_some() -> bool:
    """One batch of pictures; whether there was any."""
    with transaction():
        addresses = pictures.take_unread()
    conf = settings().wecom
    timeout = (conf.connect_timeout_seconds, conf.read_timeout_seconds)
    ids = sorted(addresses)
    answers = run_parallel([partial(_content, _address(addresses[id_]), timeout) for id_ in ids])
    if addresses:
        with transaction():
            pictures.note_contents(dict(zip(ids, answers, strict=True)))
    return bool(addresses)


def _address(address: str) -> str | WecomError:
    try:
        return picture_address(address)
    except WecomError as error:
        return error


def _content(address: str | WecomError, timeout: tuple[float, float]) -> str | Exception:
    """In a thread: what stands in one picture, or why it cannot be read."""
    if isinstance(address, WecomError):
        return address
    picture = fetch_picture(address, timeout)
    try:
        return content_of(picture)
    except ValueError as error:
        return error


def _plan_some() -> bool:
    """One batch; whether there was any."""
    with transaction():
        token, greeted = greeting.claim_nameless()
    if not greeted:
        return False
    in_time = {one.external_userid for one in greeted if one.seconds_left > greeting.NAME_SECONDS}
    names = _names(sorted(in_time))
    with transaction():
        greeting.plan_named(token, greeted, names)
    return True


def _names(external_userids: list[str]) -> dict[str, str]:
    """Names by external_userid; who WeCom does not tell of in time is left out."""
    if not external_userids:
        return {}
    client = wecom(priority=Priority.WELCOME, patience=1.0).with_options(read_timeout=NAME_TIMEOUT)
    until = time.monotonic() + NAMES_SECONDS
    answers = run_parallel([partial(_name, client, one, until) for one in external_userids])
    found = zip(external_userids, answers, strict=True)
    return {one: name for one, name in found if isinstance(name, str)}


def _name(client: Client, external_userid: str, until: float) -> str | None:
    """What WeCom calls this person; None when the round has no time left to ask."""
    if time.monotonic() > until:
        return None
    answer = client.get("externalcontact/get", external_userid=external_userid)
    name: str = (answer.get("external_contact") or {}).get("name") or ""
    return name.replace("\0", "") or None  # JSON may carry a NUL, PostgreSQL may not
