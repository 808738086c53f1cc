"""The remark a member sees on a newcomer: the code's template filled in, at most 20 characters.

It waits until the relation is complete (a half-added customer has none that could be edited, 84061) and WeCom told the
customer's name. A remark that a person wrote stays; one that equals the name is WeCom's own and may be replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Row, text

from scrm.acquisition.models import RemarkState
from scrm.acquisition.service import wording
from scrm.kernel.db import session
from scrm.kernel.settings import settings
from scrm.wecom.effects import Intent, plan

REMARK_CHARS = 20  # wecom-api.md section 4.2
NAME, CODE, DATE, STAFF = "name", "code", "date", "staff"
VARIABLES = (NAME, CODE, DATE, STAFF)
CUT_FIRST = (CODE, STAFF, NAME, DATE)  # what gives way when the whole is too long
BATCH = 500

# The question left after the add (clocks may differ by a minute): the remark we hold is the newcomer's own.
READY = """a.remark_state = 'wanted' AND f.status = 'active' AND c.name <> ''
AND f.confirmed_at >= a.at - interval '1 minute'"""


def plan_remarks() -> int:
    """Plan the remarks of a batch of newcomers of whom enough is known; returns how many were looked at."""
    rows = session().execute(_READY, {"limit": BATCH}).all()
    wanted = {row.id: remark for row in rows if (remark := _remark(row)) is not None}
    plan(
        Intent(
            kind="remark",
            key=f"remark:channel_add:{row.id}",
            payload={"userid": row.userid, "external_userid": row.external_userid, "remark": wanted[row.id]},
            subject=f"follow:{row.follow_id}",
        )
        for row in rows
        if row.id in wanted
    )
    for state, ids in (
        (RemarkState.PLANNED, sorted(wanted)),
        (RemarkState.KEPT, sorted({row.id for row in rows} - wanted.keys())),
    ):
        session().execute(_SET, {"ids": ids, "state": state.value})
    return len(rows)


def wait_for_remarks(follow_ids: Iterable[int]) -> bool:
    """Whether any of these relations waits for its remark."""
    return bool(session().scalar(_WAITING, {"ids": sorted(set(follow_ids))}))


def give_up_remarks() -> None:
    """Newcomers who were lost before their remark could be set need none any more."""
    session().execute(_GIVE_UP)


def filled(rule: str, values: Mapping[str, str]) -> str:
    """The template with its variables filled, at most 20 characters; long values are cut, the template never."""
    parts = wording.split(rule, VARIABLES)
    used = {part for part, is_variable in parts if is_variable}
    kept = {name: values.get(name, "") for name in used}
    for name in CUT_FIRST:
        over = (
            sum(len(kept[part]) if is_variable else len(part) for part, is_variable in parts) - REMARK_CHARS
        )
        if over > 0 and name in kept:
            times = sum(1 for part, is_variable in parts if is_variable and part == name)
            kept[name] = kept[name][: max(0, len(kept[name]) - -(-over // times))]
    return "".join(kept[part] if is_variable else part for part, is_variable in parts).strip()


def _remark(row: Row[Any]) -> str | None:
    """What to write; None when a person wrote something, or it is so already."""
    if row.remark and row.remark != row.customer_name:
        return None
    day = row.at.astimezone(settings().corp.zone)
    values = {NAME: row.customer_name, CODE: row.code_name, STAFF: row.staff_name, DATE: f"{day:%m%d}"}
    remark = filled(row.remark_rule, values)
    return remark if remark and remark != row.remark else None


_READY = text(f"""
SELECT a.id, a.follow_id, a.at, f.remark, c.name AS customer_name, c.external_userid, s.userid,
  coalesce(s.name, s.alias, s.userid) AS staff_name, k.name AS code_name, k.remark_rule
FROM channel_adds a JOIN follows f ON f.id = a.follow_id JOIN customers c ON c.id = f.customer_id
JOIN staff s ON s.id = f.staff_id JOIN channel_codes k ON k.id = a.channel_code_id
WHERE {READY} AND k.remark_rule <> '' ORDER BY a.id LIMIT :limit FOR UPDATE OF a SKIP LOCKED
""")  # noqa: S608  # a constant of this module
_SET = text("UPDATE channel_adds SET remark_state = :state WHERE id = ANY(CAST(:ids AS bigint[]))")
_WAITING = text(
    "SELECT EXISTS (SELECT FROM channel_adds WHERE remark_state = 'wanted' AND follow_id = ANY(CAST(:ids AS bigint[])))"
)
_GIVE_UP = text("""
UPDATE channel_adds a SET remark_state = 'none' FROM follows f, channel_codes k
WHERE a.remark_state = 'wanted' AND f.id = a.follow_id AND k.id = a.channel_code_id
AND (f.status LIKE 'deleted%' OR coalesce(k.remark_rule, '') = '')
""")
DUE = text(f"""
SELECT EXISTS (SELECT FROM channel_adds a JOIN follows f ON f.id = a.follow_id JOIN customers c ON c.id = f.customer_id
  JOIN channel_codes k ON k.id = a.channel_code_id WHERE {READY} AND k.remark_rule <> '')
""")  # noqa: S608  # a constant of this module


def remarks_due() -> bool:
    """Whether there is a newcomer whose remark can be planned."""
    return bool(session().scalar(DUE))
