"""Channel codes made, changed, closed and taken away: what we want is kept here, ``pushing`` makes WeCom equal to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select, text, update

from scrm.acquisition.models import ChannelCode, ChannelCodeGroup, CodeState, WhenOver
from scrm.acquisition.service.code_checks import (
    Problems,
    contradictions,
    known_of,
    unknown_things,
    valid_in_future,
)
from scrm.acquisition.service.keeping import keep_current
from scrm.acquisition.service.pushing import push
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput, NotFound

ONE_MEMBER, SEVERAL_MEMBERS = 1, 2  # WeCom's type
LISTS = (
    "department_ids", "slots", "dates", "backup_staff_ids", "caps", "tag_ids", "welcome_slots", "blocked_names",
    "accept_slots", "staff_ids",
)  # fmt: skip
FIXED = ("is_temp", "expires_in", "chat_expires_in", "unionid")  # told to WeCom once
FLAGS = {"skip_verify": True, "is_temp": False, "use_party": False, "when_over": WhenOver.CLOSE}
WHOLE = (
    *LISTS, *FIXED, "use_party", "daily_cap", "welcome_id", "remark_rule", "group_id", "valid_until", "when_over",
)  # fmt: skip


def create_channel_code(values: Mapping[str, Any]) -> ChannelCode:
    """A new code; WeCom makes its picture soon after (``status`` becomes ``active``).

    :raises InvalidInput: naming every field that is wrong
    """
    [problems] = problems_of([values])
    refuse(problems)
    [code] = make_channel_codes([values])
    return code


def problems_of(rows: Sequence[Mapping[str, Any]]) -> list[Problems]:
    """What is wrong with each of these new codes, by path of the field."""
    known = known_of(rows)
    return [
        unknown_things(row, known) | contradictions(row, single=_single(row)) | valid_in_future(row)
        for row in rows
    ]


def make_channel_codes(rows: Sequence[Mapping[str, Any]]) -> list[ChannelCode]:
    """New codes out of values that :func:`problems_of` found nothing wrong with."""
    ids = session().scalars(_NEXT_IDS, {"number": len(rows)}).all()
    codes = [
        ChannelCode(
            **{**{name: [] for name in LISTS}, **FLAGS, **row},
            id=id_,
            state=f"ch{id_}",
            contact_type=ONE_MEMBER if _single(row) else SEVERAL_MEMBERS,
            version=1,
            status=CodeState.PENDING,
            on_duty=[],
            on_duty_party=[],
        )
        for id_, row in zip(ids, rows, strict=True)
    ]
    session().add_all(codes)
    session().flush()
    keep_current(codes)
    return codes


_NEXT_IDS = text(
    "SELECT nextval(pg_get_serial_sequence('channel_codes', 'id')) FROM generate_series(1, :number)"
)


def change_channel_code(code_id: int, values: Mapping[str, Any]) -> ChannelCode:
    """Change the given fields; WeCom hears of it only when what it holds really differs.

    On a code that WeCom refused this tries again; a closed code is opened anew when its time is no longer over.

    :raises NotFound: when there is no such code, or it was deleted
    :raises InvalidInput: naming every field that is wrong
    """
    code = locked_code(code_id)
    whole = {**{name: getattr(code, name) for name in WHOLE}, **values}
    problems = unknown_things(values, known_of([values])) | valid_in_future(values)
    if fixed := [name for name in FIXED if name in values and values[name] != getattr(code, name)]:
        problems |= dict.fromkeys(fixed, "cannot change: WeCom is told once; make a new code")
    refuse(problems | contradictions(whole, single=code.contact_type == ONE_MEMBER))
    for name, value in values.items():
        setattr(code, name, value)
    if code.status is CodeState.CLOSED and "valid_until" in values:
        code.status = CodeState.PENDING
    code.drift = None
    session().flush()
    keep_current([code])
    return code


def delete_channel_code(code_id: int) -> None:
    """Take a code away here and at WeCom; people who came through it keep their tags.

    :raises NotFound: when there is no such code, or it was deleted before
    """
    code = locked_code(code_id)
    code.status, code.check_at = CodeState.DELETED, None
    session().flush()
    push([code])


def recreate_channel_code(code_id: int) -> ChannelCode:
    """Make a contact way anew that WeCom no longer knows; its picture is a new one, printed ones lead nowhere.

    :raises Conflict: when WeCom still knows it
    """
    code = locked_code(code_id)
    if code.status is not CodeState.MISSING:
        raise Conflict(f"channel code {code_id} is {code.status}; only a missing one is made anew")
    code.config_id = code.qr_code = code.qr_content = code.accepted = code.drift = None
    code.status = CodeState.PENDING
    session().flush()
    keep_current([code])
    return code


def move_channel_codes(code_ids: Sequence[int], group_id: int | None) -> None:
    """Put codes into a group, or into none.

    :raises InvalidInput: when a code or the group does not exist
    """
    if group_id is not None and session().get(ChannelCodeGroup, group_id) is None:
        raise InvalidInput.field("group_id", f"there is no group {group_id} of channel codes")
    chosen = select(ChannelCode.id).where(
        ChannelCode.id.in_(code_ids), ChannelCode.status != CodeState.DELETED
    )
    there = set(session().scalars(chosen))
    for place, one in enumerate(code_ids):
        if one not in there:
            raise InvalidInput.field(f"code_ids.{place}", f"there is no channel code {one}")
    session().execute(update(ChannelCode).where(ChannelCode.id.in_(there)).values(group_id=group_id))


def locked_code(code_id: int) -> ChannelCode:
    """The code, locked; raises NotFound when there is none or it was deleted."""
    code = session().get(ChannelCode, code_id, with_for_update=True, populate_existing=True)
    if code is None or code.status is CodeState.DELETED:
        raise NotFound(f"there is no channel code {code_id}")
    return code


def refuse(problems: Problems) -> None:
    """:raises InvalidInput: naming every problem, when there is one"""
    if problems:
        told = "; ".join(f"{path}: {problem}" for path, problem in problems.items())
        raise InvalidInput(told, fields=problems)


def _single(row: Mapping[str, Any]) -> bool:
    """One member and nothing that could ever want another: WeCom's type 1, and every temporary code."""
    others = ("department_ids", "slots", "dates", "backup_staff_ids", "caps")
    alone = len(row.get("staff_ids") or ()) == 1 and not any(row.get(name) for name in others)
    return bool(row.get("is_temp")) or (alone and row.get("daily_cap") is None)
