"""Members by name: ids of userids, and userids that change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import orjson
from sqlalchemy import text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.staff.events import StaffFound, StaffMerged
from scrm.staff.service.memberships import LEFT


def ensure_staff(userids: Iterable[str]) -> dict[str, int]:
    """Ids of members by casefolded userid, in the order asked; who was never heard of gets a row a job completes."""
    wanted = {userid.casefold(): userid for userid in userids if userid}
    if not wanted:
        return {}
    known = staff_ids(wanted)
    missing = [userid for key, userid in sorted(wanted.items()) if key not in known]
    if missing:
        made = session().scalars(_INSERT_STUBS, {"userids": missing}).all()
        publish(StaffFound(tuple(made)))
        known = staff_ids(wanted)
    return {key: known[key] for key in wanted if key in known}


def staff_ids(userids: Iterable[str]) -> dict[str, int]:
    """Ids of the members already known, by casefolded userid; earlier userids count."""
    found = session().execute(_SELECT_IDS, {"userids": [userid.lower() for userid in userids]})
    return {row.userid.casefold(): row.id for row in found}


_SELECT_IDS = text("""
SELECT lower(userid) AS userid, id FROM staff WHERE lower(userid) = ANY(CAST(:userids AS text[]))
UNION ALL SELECT userid, staff_id FROM staff_aliases WHERE userid = ANY(CAST(:userids AS text[]))
""")
_INSERT_STUBS = text("""
INSERT INTO staff (userid) SELECT unnest(CAST(:userids AS text[]))
ON CONFLICT (lower(userid)) DO NOTHING RETURNING id
""")


@dataclass(frozen=True, slots=True)
class Renaming:
    """A member's userid changed (WeCom allows it once)."""

    old: str
    new: str
    at: datetime


@dataclass
class _Outcome:
    """What renamings come to: ids with their new userid, rows folded into others (gone → kept), earlier names."""

    kept: dict[int, str] = field(default_factory=dict)
    merged: dict[int, int] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)


def rename(renamings: Sequence[Renaming]) -> dict[int, int]:
    """Give members their new userid and remember the old.

    :returns: rows that had the new userid already, folded into the member's own row (gone → kept)
    """
    known = staff_ids({name for one in renamings for name in (one.old, one.new)})
    outcome = _Outcome()
    for one in sorted(renamings, key=lambda r: r.at):
        _rename(one, known, outcome)
    _free_names(outcome.merged)
    _write_names(outcome.kept)
    _write_aliases(outcome.aliases)
    return outcome.merged


def _rename(one: Renaming, known: dict[str, int], outcome: _Outcome) -> None:
    old, new = one.old.casefold(), one.new.casefold()
    old_id, new_id = known.get(old), known.get(new)
    if old_id is None:
        old_id = new_id or ensure_staff([one.new])[new]
    elif old_id != new_id:
        outcome.kept[old_id] = one.new
        if new_id is not None:
            outcome.merged[new_id] = old_id
    known[old] = known[new] = old_id
    if old != new:
        outcome.aliases[one.old.lower()] = old_id


def _free_names(merged: Mapping[int, int]) -> None:
    """Take their userids from the rows that are folded into others."""
    if not merged:
        return
    session().execute(_FREE_NAMES, {"ids": sorted(merged), "now": utcnow(), "left": LEFT})
    publish(*(StaffMerged(kept_id, gone_id) for gone_id, kept_id in merged.items()))


_FREE_NAMES = text("""
UPDATE staff SET userid = id || '#' || userid, left_at = COALESCE(left_at, :now), status = :left
WHERE id = ANY(CAST(:ids AS bigint[]))
""")  # '#' is not allowed in a userid: nobody else can ever be called so


def _write_names(kept: Mapping[int, str]) -> None:
    if kept:
        rows = [{"id": id_, "userid": userid} for id_, userid in sorted(kept.items())]
        session().execute(_WRITE_NAMES, {"rows": orjson.dumps(rows).decode()})


_WRITE_NAMES = text("""
UPDATE staff SET userid = r.userid, updated_at = now()
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, userid text) WHERE staff.id = r.id
""")


def _write_aliases(aliases: Mapping[str, int]) -> None:
    if aliases:
        rows = [{"userid": userid, "staff_id": id_} for userid, id_ in sorted(aliases.items())]
        session().execute(_WRITE_ALIASES, {"rows": orjson.dumps(rows).decode()})


_WRITE_ALIASES = text("""
INSERT INTO staff_aliases (userid, staff_id)
SELECT userid, staff_id FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(userid text, staff_id bigint)
ON CONFLICT (userid) DO UPDATE SET staff_id = excluded.staff_id
""")
