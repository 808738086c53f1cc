"""The QR code of a contact way: read once from WeCom's picture, drawn anew at any size.

WeCom gives the address of a picture. What stands in the picture is all a scanner needs, so it is kept in place of the
picture: a drawing of the same content leads to the same code, is as sharp as one likes, has a free choice of error
correction, and does not depend on WeCom's address staying alive.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import select, text

from scrm.acquisition.models import ChannelCode, CodeState
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, NotFound
from scrm.wecom.qr_codes import draw

BATCH = 64
LEASE = timedelta(minutes=2)  # a picture whose reader died is taken up again
BACKOFF = (timedelta(seconds=30), timedelta(hours=6))


def take_unread() -> dict[int, str]:
    """Addresses of pictures to read now by code id; they are ours for two minutes."""
    now = utcnow()
    rows = session().execute(_TAKE, {"now": now, "until": now + LEASE, "limit": BATCH})
    return {row.id: row.qr_code for row in rows}


def note_contents(contents: Mapping[int, str | Exception]) -> None:
    """Write what was read, or why not; a picture that could not be read is tried again ever later."""
    now = utcnow()
    codes = session().scalars(
        select(ChannelCode).where(ChannelCode.id.in_(contents)).order_by(ChannelCode.id).with_for_update()
    )
    for code in codes:
        read = contents[code.id]
        if isinstance(read, str):
            code.qr_content, code.qr_error = read, None
        else:
            code.qr_error, code.qr_next_at = str(read), now + _pause(code.qr_attempts)
    session().flush()


def _pause(attempts: int) -> timedelta:
    first, longest = BACKOFF
    return min(longest, first * float(2 ** min(attempts, 20)))


_TAKE = text("""
UPDATE channel_codes SET qr_next_at = :until, qr_attempts = qr_attempts + 1 WHERE id IN (
  SELECT id FROM channel_codes WHERE qr_code IS NOT NULL AND qr_content IS NULL AND config_id IS NOT NULL
  AND (qr_next_at IS NULL OR qr_next_at <= :now) ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED)
RETURNING id, qr_code
""")


def qr_picture(code_id: int, kind: str, *, size: int, error: str) -> bytes:
    """The QR code of a channel code as PNG or SVG.

    Arguments as of :func:`scrm.wecom.qr_codes.draw`.

    :raises NotFound: when there is no such code, or it was deleted
    :raises Conflict: while WeCom has not made it, or its picture has not been read yet
    """
    code = session().get(ChannelCode, code_id)
    if code is None or code.status is CodeState.DELETED:
        raise NotFound(f"there is no channel code {code_id}")
    if code.qr_content is None or code.config_id is None:
        why = code.qr_error or code.error or f"it is {code.status}"
        raise Conflict(f"the picture of channel code {code_id} is not there yet: {why}")
    return draw(code.qr_content, kind, size=size, error=error)
