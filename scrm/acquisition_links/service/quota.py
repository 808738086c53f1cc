"""The quota of 获客助手: readings of it, levels, and who is told when it gets worse."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select

from scrm.acquisition_links.models import QuotaLevel, QuotaReading
from scrm.acquisition_links.service.telling import tell_level
from scrm.kernel.db import session

LOW = 20  # WeCom's own threshold for balance_low (wecom-api.md section 3.4)
WORSE = {QuotaLevel.OK: 0, QuotaLevel.LOW: 1, QuotaLevel.EXHAUSTED: 2}


def level_of(balance: int) -> QuotaLevel:
    """How much ``balance`` is."""
    if balance <= 0:
        return QuotaLevel.EXHAUSTED
    return QuotaLevel.LOW if balance < LOW else QuotaLevel.OK


def note_quota(answer: Mapping[str, Any], at: datetime) -> None:
    """Keep what customer_acquisition_quota showed; who looks after it is told once per crossing of a level.

    One process at a time reads, so crossings are seen one after the other, whatever the order of the callbacks. A corp
    that never bought any is not told that it has none.
    """
    shown: dict[str, Any] = {
        "total": int(answer.get("total") or 0),
        "balance": int(answer.get("balance") or 0),
        "batches": list(answer.get("quota_list") or []),
    }
    last = newest_reading()
    if last is not None and all(getattr(last, name) == value for name, value in shown.items()):
        last.confirmed_at = max(last.confirmed_at, at)
        return
    reading = QuotaReading(at=at, confirmed_at=at, level=level_of(shown["balance"]), **shown)
    session().add(reading)
    session().flush()
    before = last.level if last is not None else QuotaLevel.OK
    if WORSE[reading.level] > WORSE[before] and reading.total > 0:
        tell_level(reading)


def newest_reading() -> QuotaReading | None:
    """The last reading; None when the quota was never read."""
    return session().scalars(select(QuotaReading).order_by(QuotaReading.at.desc()).limit(1)).first()
