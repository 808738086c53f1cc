"""Whose customers some run has read, or tried to: a member who is new to that gets a run of their own."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session


def note_tried(userids: Iterable[str]) -> None:
    """Remember these members; whose reading fails is left to the nightly run."""
    session().execute(_NOTE, {"userids": [userid.lower() for userid in userids], "now": utcnow()})


_NOTE = text("""
INSERT INTO sync_members (staff_id, tried_at)
SELECT id, :now FROM staff WHERE lower(userid) = ANY(CAST(:userids AS text[])) ORDER BY id
ON CONFLICT (staff_id) DO NOTHING
""")
