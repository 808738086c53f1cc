"""How an audience grew, day by day."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from scrm.audiences.models import AudienceDay
from scrm.audiences.queries.audiences import audience_by_id
from scrm.kernel.clock import in_zone, utcnow
from scrm.kernel.db import session
from scrm.kernel.settings import settings


def audience_growth(audience_id: int, days: int) -> list[AudienceDay]:
    """The looks at an audience within so many days of the corp's zone, today included, oldest first; raises NotFound."""
    audience_by_id(audience_id)
    first = in_zone(utcnow(), settings().corp.zone).date() - timedelta(days=days - 1)
    looks = select(AudienceDay).where(AudienceDay.audience_id == audience_id, AudienceDay.day >= first)
    return list(session().scalars(looks.order_by(AudienceDay.day)))
