"""What we hold of WeCom's quotas, and what rests for a person."""

from __future__ import annotations

from obstore.exceptions import BaseError
from sqlalchemy import text

from scrm.cli.doctor.finding import Finding
from scrm.kernel.db import session
from scrm.media.service.store import media_store

WAYS_MOST = 500_000  # contact ways and join ways of a corp together (wecom-api.md section 4.4)
NEARLY = 0.95
QUOTA_USED_UP = 41045
WAYS = """
SELECT (SELECT count(*) FROM channel_codes WHERE config_id IS NOT NULL)
     + (SELECT count(*) FROM group_codes WHERE config_id IS NOT NULL)
     + (SELECT count(*) FROM found_contact_ways WHERE gone_at IS NULL) AS ways,
  (SELECT count(*) FROM effects WHERE errcode = :full AND kind IN ('add_contact_way', 'add_join_way')
   AND state = 'failed' AND finished_at > now() - interval '1 day') AS refused
"""
PARKED = "SELECT count(*) FROM effects WHERE parked IS NOT NULL"
OPEN_CIRCUITS = "SELECT api, opened_at FROM circuits WHERE closed_at IS NULL ORDER BY opened_at"
LAST_CALLBACKS = "SELECT app, max(received_at) AS last FROM callback_inbox GROUP BY app"
PROBE = "0" * 64
CLEAR_UP = "delete channel codes and group codes that nobody uses, here (codes made by API do not show in the console)"


def contact_ways() -> Finding:
    """Contact ways and join ways leave room, and none was refused for want of it."""
    row = session().execute(text(WAYS), {"full": QUOTA_USED_UP}).one()
    detail = f"{row.ways} of {WAYS_MOST} used"
    if row.refused:
        detail += f"; {row.refused} refused with {QUOTA_USED_UP} within a day"
    well = not row.refused and row.ways < NEARLY * WAYS_MOST
    return Finding("contact way quota", well, detail, "" if well else CLEAR_UP)


def parked_effects() -> Finding:
    """No change asked of WeCom was given up on."""
    number = session().scalar(text(PARKED)) or 0
    way_out = "`scrm effects list --parked` shows why, `scrm effects retry` sends again" if number else ""
    return Finding("dead letters", not number, f"{number} parked", way_out)


def circuits() -> Finding:
    """No API is left alone because WeCom does not answer there."""
    silent = session().execute(text(OPEN_CIRCUITS)).all()
    if not silent:
        return Finding("WeCom's APIs", True, "all answer")
    names = ", ".join(f"{row.api} since {row.opened_at:%Y-%m-%d %H:%M} UTC" for row in silent)
    return Finding(
        "WeCom's APIs", False, f"no answer: {names}", "it is tried again by itself; `scrm limits` shows when"
    )


def last_callbacks(apps: list[str]) -> list[Finding]:
    """When each app was called back last; no call at all says nothing by itself, so this never fails."""
    rows = session().execute(text(LAST_CALLBACKS))
    seen = {row.app: row.last for row in rows}
    return [
        Finding(
            f"callbacks of app {app}",
            True,
            f"last {at:%Y-%m-%d %H:%M} UTC" if (at := seen.get(app)) else "none yet",
        )
        for app in apps
    ]


def media() -> Finding:
    """The media library can be written and read."""
    try:
        store = media_store()
        store.put(PROBE, b"scrm doctor")
        store.get(PROBE)
        store.remove(PROBE)
    except (BaseError, OSError) as error:
        return Finding(
            "media store", False, type(error).__name__, "mend media.url, or the rights of var_dir/media"
        )
    return Finding("media store", True, "can be written and read")
