"""Which groups of a code take people now: full ones are taken out, the next of the list take their place.

A group counts as full from its cap on until it is clearly emptier again, so that one person who leaves and one who comes
are no calls of WeCom.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, text

from scrm.alerts.service import Alert, alert
from scrm.group_entry.models import EntryState, GroupCode
from scrm.group_entry.service.join_ways import push
from scrm.groups.models import GroupStatus
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session

IN_USE = 5  # groups of one join way (41091)
REOPEN_SHARE = 0.9  # of its cap: a group that got this empty takes people again

MEMBERS = (
    "(SELECT count(*) FROM group_stays s WHERE s.group_id = g.group_id AND s.left_at IS NULL)"  # everybody
)
_FROM = f"""
FROM group_code_groups g JOIN group_codes c ON c.id = g.group_code_id JOIN customer_groups cg ON cg.id = g.group_id
CROSS JOIN LATERAL (SELECT {MEMBERS} AS members, COALESCE(g.cap, c.cap) AS cap) m
WHERE c.status <> '{EntryState.DELETED}' AND g.removed_at IS NULL
"""  # constants of this module
_FILLS = "g.full_at IS NULL AND m.members >= m.cap"
_EMPTIES = "g.full_at IS NOT NULL AND m.members < m.cap * :share"
_GONE = f"cg.status = '{GroupStatus.DISMISSED}' AND c.accepted -> 'chat_id_list' ? cg.chat_id"
_TURNS = f"(({_FILLS}) OR ({_EMPTIES}) OR ({_GONE}))"

MOVED = text(
    f"SELECT DISTINCT g.group_code_id {_FROM} AND g.group_id = ANY(CAST(:groups AS bigint[])) AND {_TURNS}"
)  # same
ALL_MOVED = text(f"SELECT DISTINCT g.group_code_id {_FROM} AND c.error IS NULL AND {_TURNS}")  # same
_MARK = text(f"""
UPDATE group_code_groups target SET full_at = CASE WHEN target.full_at IS NULL THEN CAST(:now AS timestamptz) END
FROM (SELECT g.group_code_id, g.group_id {_FROM}
  AND g.group_code_id = ANY(CAST(:codes AS bigint[])) AND (({_FILLS}) OR ({_EMPTIES}))) turned
WHERE target.group_code_id = turned.group_code_id AND target.group_id = turned.group_id
""")  # noqa: S608  # same
_LIVING = text(f"""
SELECT g.group_code_id, cg.chat_id, g.full_at IS NOT NULL AS is_full,
  COALESCE(c.accepted -> 'chat_id_list' ? cg.chat_id, false) AS is_held {_FROM}
AND g.group_code_id = ANY(CAST(:codes AS bigint[])) AND cg.status = '{GroupStatus.NORMAL}'
ORDER BY g.group_code_id, g.position, g.group_id
""")  # same
_MADE = text("""
SELECT group_code_id, count(*) AS made FROM group_code_groups
WHERE group_code_id = ANY(CAST(:codes AS bigint[])) AND source = 'wecom' GROUP BY group_code_id
""")


@dataclass(frozen=True)
class Doors:
    """The groups behind a code at this moment.

    :param chat_ids: those that take people, at most five
    :param is_full: none of them is below its cap
    :param made: how many groups WeCom made for the code so far
    """

    chat_ids: tuple[str, ...]
    is_full: bool
    made: int


def review(group_ids: Iterable[int]) -> None:
    """Somebody joined or left these groups, or they were dismissed: codes that now need other groups get them."""
    ids = sorted(set(group_ids))
    if ids:
        refresh(session().scalars(MOVED, {"groups": ids, "share": REOPEN_SHARE}).all())


def review_all() -> None:
    """The same for every code, and for those whose join way differs at WeCom; for what no event told."""
    moved = set(session().scalars(ALL_MOVED, {"share": REOPEN_SHARE}))
    drifted = set(session().scalars(select(GroupCode.id).where(*drifting())))
    refresh(moved | drifted)


def drifting() -> tuple[Any, ...]:
    """The clauses: WeCom was seen to hold something else, and no call is under way."""
    return GroupCode.drifted_at.is_not(None), GroupCode.effect_id.is_(None)


def review_due() -> bool:
    """Whether :func:`review_all` would do something."""
    if session().scalar(select(select(GroupCode.id).where(*drifting()).exists())):
        return True
    return session().scalar(ALL_MOVED, {"share": REOPEN_SHARE}) is not None


def refresh(code_ids: Iterable[int]) -> None:
    """Mark which groups are full, send WeCom the list where it changed, and tell operators of codes that became full."""
    ids = sorted(set(code_ids))
    if not ids:
        return
    codes = session().scalars(
        select(GroupCode)
        .where(GroupCode.id.in_(ids))
        .order_by(GroupCode.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).all()  # fmt: skip
    session().execute(_MARK, {"codes": ids, "now": utcnow(), "share": REOPEN_SHARE})
    doors = doors_of(ids)
    _note_full(codes, doors)
    for code in codes:
        code.drifted_at = None
    push(codes, doors)


def doors_of(code_ids: Sequence[int]) -> dict[int, Doors]:
    """The groups that take people by the marks: the first open ones; when none is open, those of now stay."""
    living: dict[int, list[Any]] = defaultdict(list)
    for row in session().execute(_LIVING, {"codes": list(code_ids)}):
        living[row.group_code_id].append(row)
    made = {row.group_code_id: row.made for row in session().execute(_MADE, {"codes": list(code_ids)})}
    return {code_id: _doors(living[code_id], made.get(code_id, 0)) for code_id in code_ids}


def _doors(living: Sequence[Any], made: int) -> Doors:
    """WeCom takes no empty list, and makes a new group only behind full ones: with no open group it keeps what it has."""
    open_ = [row.chat_id for row in living if not row.is_full]
    held = [row.chat_id for row in living if row.is_held]
    last = [row.chat_id for row in living][-IN_USE:]
    return Doors(tuple(open_[:IN_USE] or held or last), not open_, made)


def _note_full(codes: Sequence[GroupCode], doors: Mapping[int, Doors]) -> None:
    """A code without an open group is full, unless WeCom makes the next group by itself."""
    news = []
    for code in codes:
        living = doors[code.id]
        is_full = living.is_full and not (code.auto_create_room and living.chat_ids)
        if is_full and code.full_at is None and code.status is not EntryState.DELETED:
            code.full_at = utcnow()
            news.append(_full_alert(code))
        elif not is_full:
            code.full_at = None
    if news:
        alert(news)


def _full_alert(code: GroupCode) -> Alert:
    return Alert(
        kind="group_code_full",
        key=f"group_code_full:{code.id}:{code.full_at}",
        zh=f"群活码「{code.name}」的所有群都已满，请添加新群或开启自动建群。",
        en=f"Every group of the group code “{code.name}” is full: add a group or let WeCom make new ones.",
        operators=True,
    )
