"""When something about links was read from WeCom, whether it is wanted again, and why it failed."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import exists, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from scrm.acquisition_links.events import LinksDoubted, QuotaDoubted
from scrm.acquisition_links.models import LinkReading, ReadingKind
from scrm.acquisition_links.service.checks import app_may_call, reason_of, require_app
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.wecom.errors import WecomError

AGAIN_SECONDS = 300.0  # after a failure


def want(kind: ReadingKind) -> None:
    """Have it read; a reading that began before does not count."""
    row = insert(LinkReading).values(kind=kind, wanted_at=utcnow())
    session().execute(
        row.on_conflict_do_update(index_elements=["kind"], set_={"wanted_at": row.excluded.wanted_at})
    )


def is_wanted(kind: ReadingKind) -> bool:
    """Whether it was asked for since it was last read, and a failure is some minutes ago."""
    tried = utcnow() - timedelta(seconds=AGAIN_SECONDS)
    open_ = exists().where(
        LinkReading.kind == kind,
        LinkReading.wanted_at.is_not(None),
        or_(LinkReading.read_at.is_(None), LinkReading.read_at < LinkReading.wanted_at),
        or_(LinkReading.failed_at.is_(None), LinkReading.failed_at < tried),
    )
    return app_may_call() and bool(session().scalar(select(open_)))


def anything_wanted() -> bool:
    """Whether links or quota are wanted."""
    return any(is_wanted(kind) for kind in (ReadingKind.LINKS, ReadingKind.QUOTA))


def note_read(kind: ReadingKind, asked_at: datetime) -> None:
    """It was read completely; ``asked_at``: from before the first question."""
    row = insert(LinkReading).values(kind=kind, read_at=asked_at)
    session().execute(
        row.on_conflict_do_update(
            index_elements=["kind"],
            set_={"read_at": row.excluded.read_at, "failed_at": None, "error": None},
        )
    )


def note_failed(kind: ReadingKind, error: WecomError) -> None:
    """It could not be read; what was known stays."""
    values = {"failed_at": utcnow(), "error": reason_of(error.errcode, error.errmsg)}
    row = insert(LinkReading).values(kind=kind, **values)
    session().execute(row.on_conflict_do_update(index_elements=["kind"], set_=values))


def want_all() -> None:
    """Somebody wants links and quota read now; a failure of before does not keep them waiting.

    :raises Conflict: when no configured app may call 获客助手
    """
    require_app()
    for kind in (ReadingKind.LINKS, ReadingKind.QUOTA):
        want(kind)
    session().execute(update(LinkReading).values(failed_at=None))
    publish(LinksDoubted(), QuotaDoubted())
