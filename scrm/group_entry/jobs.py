"""What workers do for group codes: keep the right groups behind them, read pictures, find what no event told."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial

import structlog

from config.queues import Queue
from scrm.group_entry.service import arrivals, join_ways, rotation
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session, transaction
from scrm.kernel.jobs import job
from scrm.wecom.client import Client, wecom
from scrm.wecom.errors import WecomError
from scrm.wecom.kinds.add_join_way import SHOW
from scrm.wecom.parallel import run_parallel

PICTURES = 50  # asked for between two commits
SECONDS = 20.0
AGAIN = timedelta(minutes=5)  # after WeCom could not be asked
log = structlog.get_logger(__name__)


@job(Queue.EVENTS, due=rotation.review_due)
def review_codes() -> None:
    """Bring the groups behind all codes up to date, where no event did."""
    with transaction():
        rotation.review_all()


@job(Queue.EVENTS, due=join_ways.pictures_due)
def read_pictures() -> None:
    """Ask WeCom for the addresses of pictures that it did not tell when it made the join way."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        ways = join_ways.ways_without_picture(PICTURES)
        session().rollback()  # nothing is open while WeCom is called
        if not ways:
            return
        client = wecom()
        answers = run_parallel([partial(_picture, client, config_id) for _, config_id in ways])
        with transaction():
            for (code_id, config_id), answer in sorted(zip(ways, answers, strict=True), key=lambda p: p[0]):
                failed = isinstance(answer, WecomError) or not answer
                again_at = utcnow() + AGAIN if failed else None
                address = None if isinstance(answer, WecomError) else answer
                join_ways.note_picture(code_id, config_id, address, again_at=again_at)


def _picture(client: Client, config_id: str) -> str | None:
    shown = client.post(SHOW, {"config_id": config_id})["join_way"]
    return shown.get("qr_code") or None


@job(Queue.BACKGROUND)
def find_missed_joins() -> None:
    """Give tags for joins that no event told, such as those a sync read; once a day, code by code."""
    codes = arrivals.living_codes()
    session().rollback()
    for code_id in codes:
        with transaction():
            arrivals.note_missed(code_id)
    log.info("joins through group codes compared", codes=len(codes))
