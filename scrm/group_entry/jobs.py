"""What workers do for group codes: keep the right groups behind them, read pictures, find what no event told."""

from __future__ import annotations

import time
from functools import partial

import structlog

from config.queues import Queue
from scrm.group_entry.service import arrivals, pictures, rotation
from scrm.kernel.db import session, transaction
from scrm.kernel.jobs import job
from scrm.kernel.settings import settings
from scrm.wecom.client import Client, wecom
from scrm.wecom.errors import Stop, WecomError
from scrm.wecom.kinds.add_join_way import SHOW
from scrm.wecom.parallel import run_parallel
from scrm.wecom.pictures import fetch_picture, picture_address
from scrm.wecom.qr_codes import content_of

PICTURES = 50  # asked for between two commits
SECONDS = 20.0
log = structlog.get_logger(__name__)


@job(Queue.EVENTS, due=rotation.review_due)
def review_codes() -> None:
    """Bring the groups behind all codes up to date, where no event did."""
    with transaction():
        rotation.review_all()


@job(Queue.EVENTS, due=pictures.pictures_due)
def read_pictures() -> None:
    """Ask WeCom for the addresses of pictures that are not known yet, and keep what stands in the pictures."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        unread = pictures.unread_pictures(PICTURES)
        session().rollback()  # nothing is open while WeCom is called
        if not unread:
            return
        client, conf = wecom(), settings().wecom
        timeout = (conf.connect_timeout_seconds, conf.read_timeout_seconds)
        addresses = [
            _safe(address) for address in run_parallel([partial(_ask, client, one) for one in unread])
        ]
        reads = run_parallel([partial(_read, address, timeout) for address in addresses])
        with transaction():
            for one, address, read in sorted(
                zip(unread, addresses, reads, strict=True), key=lambda p: p[0].code_id
            ):
                pictures.note_read(one, _outcome(one, address, read))


def _ask(client: Client, one: pictures.Unread) -> str | None:
    if one.address:
        return one.address
    shown = client.post(SHOW, {"config_id": one.config_id})["join_way"]
    return shown.get("qr_code") or None


def _safe(address: str | WecomError | None) -> str | WecomError:
    """The address to fetch, or why there is none."""
    if isinstance(address, WecomError):
        return address
    try:
        return picture_address(address or "")
    except WecomError as error:
        return error


def _read(address: str | WecomError, timeout: tuple[float, float]) -> str:
    """In a thread: what stands in one picture; raises WecomError."""
    if isinstance(address, WecomError):
        raise address
    content = fetch_picture(address, timeout)
    try:
        return content_of(content)
    except ValueError as error:
        raise Stop("picture", None, str(error)) from error


def _outcome(one: pictures.Unread, address: str | WecomError, read: str | WecomError) -> pictures.Read:
    known = one.address if isinstance(address, WecomError) else address
    if isinstance(read, WecomError):
        return pictures.Read(known, error=str(read), passing=read.passing)
    return pictures.Read(known, read)


@job(Queue.BACKGROUND)
def find_missed_joins() -> None:
    """Give tags for joins that no event told, such as those a sync read; once a day, code by code."""
    codes = arrivals.living_codes()
    session().rollback()
    for code_id in codes:
        with transaction():
            arrivals.note_missed(code_id)
    log.info("joins through group codes compared", codes=len(codes))
