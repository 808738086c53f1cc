"""Renewing WeCom's ids of files in use, and forgetting deleted content."""

from __future__ import annotations

from functools import partial

import structlog

from config.queues import Queue
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session, transaction
from scrm.kernel.jobs import job
from scrm.kernel.locks import leader
from scrm.media import queries
from scrm.media.service import uploading
from scrm.media.service.keeping import remove_forgotten
from scrm.media.service.store import media_store
from scrm.wecom.client import wecom
from scrm.wecom.errors import WecomError
from scrm.wecom.models import Priority
from scrm.wecom.parallel import run_parallel

ROUND = 20  # files at once in memory, 20 MB each at the most
log = structlog.get_logger(__name__)


@job(Queue.BACKGROUND, due=queries.renewals_due)
def renew_media() -> None:
    """Upload what is in use and has no id that lasts; one process at a time."""
    with leader("media.renew") as lead:
        while lead is not None and _renew_round():
            pass


def _renew_round() -> bool:
    files = uploading.stored(queries.renewals(ROUND))
    session().rollback()  # nothing is open while WeCom is called
    if not files:
        return False
    store, client = media_store(), wecom(priority=Priority.TAG)
    asked_at = utcnow()
    answers = run_parallel([partial(uploading.upload_stored, store, client, file) for file in files])
    pairs = list(zip(files, answers, strict=True))
    failures = {file: answer for file, answer in pairs if isinstance(answer, WecomError)}
    with transaction():
        for file, answer in pairs:
            if not isinstance(answer, WecomError):
                uploading.note_uploaded(file, answer, asked_at)
        uploading.note_failed(failures, asked_at)
    if failures:
        log.warning(
            "files could not be uploaded",
            files=len(failures),
            errors=sorted({str(e) for e in failures.values()}),
        )
    return True


@job(Queue.BACKGROUND)
def forget_media() -> None:
    """Remove the content and rows of files deleted a day ago; once a day."""
    removed = ROUND
    while removed == ROUND:
        with transaction():
            removed = remove_forgotten(ROUND)
