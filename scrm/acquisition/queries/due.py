"""Cheap questions: is there something to do?"""

from __future__ import annotations

from sqlalchemy import exists, or_, select, text

from scrm.acquisition.models import ChannelCode, Welcome
from scrm.acquisition.service.greeting import nameless
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session


def names_wanted() -> bool:
    """Whether a welcome waits for a name and nobody is asking for it."""
    free = or_(Welcome.lease_until.is_(None), Welcome.lease_until < utcnow())
    return bool(session().scalar(select(exists().where(nameless(), free))))


def checks_due() -> bool:
    """Whether the time of a code has come: a slot begins or ends, a cap may be reached, a member left."""
    return bool(session().scalar(select(exists().where(ChannelCode.check_at <= utcnow()))))


def pictures_due() -> bool:
    """Whether a QR code that WeCom made was not read yet."""
    waits = (ChannelCode.qr_next_at.is_(None)) | (ChannelCode.qr_next_at <= utcnow())
    unread = ChannelCode.qr_code.is_not(None) & ChannelCode.qr_content.is_(None)
    return bool(session().scalar(select(exists().where(unread, ChannelCode.config_id.is_not(None), waits))))


def changed_staff() -> list[int]:
    """Members of whom something became known after a code that names them was checked."""
    return list(session().scalars(text(f"SELECT s.id FROM staff s WHERE {_CHANGED} ORDER BY 1")))  # noqa: S608  # a constant


def staff_changed() -> bool:
    """Whether there is such a member."""
    return bool(session().scalar(text(f"SELECT EXISTS (SELECT FROM staff s WHERE {_CHANGED})")))  # noqa: S608  # a constant


_ALIVE = "status IN ('pending', 'active', 'failed')"
_CHANGED = f"""s.updated_at > (SELECT min(checked_at) FROM channel_codes WHERE {_ALIVE}) AND EXISTS (
  SELECT FROM channel_codes c WHERE c.{_ALIVE} AND c.checked_at < s.updated_at
  AND (s.id = ANY(c.staff_ids) OR s.id = ANY(c.backup_staff_ids) OR s.id = ANY(c.on_duty)
    OR c.slots || c.dates @> jsonb_build_array(jsonb_build_object('staff_ids', jsonb_build_array(s.id)))))"""  # noqa: S608  # constants of this module
