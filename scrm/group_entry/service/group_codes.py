"""Group codes: made, changed, taken away; which groups stand behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert

from scrm.group_entry.events import GroupsPutBehindCode
from scrm.group_entry.models import EntryState, GroupCode, GroupCodeGroup, GroupSource
from scrm.group_entry.service.checks import check_entry_welcome, check_groups, check_tags
from scrm.group_entry.service.rotation import refresh
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput, NotFound
from scrm.kernel.events import publish

CAP = 180  # leaves room in a group of 200
GROUPS_MAX = 200  # behind one code over time


def create_group_code(values: Mapping[str, Any]) -> GroupCode:
    """A new code; WeCom makes its picture soon after (``status`` becomes ``active``).

    :param values: fields of the model, and ``groups``: [{"group_id", "cap"?}] in the order in which they fill
    :raises InvalidInput: when a group, a tag or the entry welcome does not exist, or the naming rule is missing
    """
    given = {"cap": CAP, "tag_ids": [], "auto_create_room": False, **values}
    groups = given.pop("groups")
    _check(given, groups)
    id_ = session().scalar(text("SELECT nextval(pg_get_serial_sequence('group_codes', 'id'))"))
    code = GroupCode(**given, id=id_, state=f"gc{id_}", version=1)
    _check_naming(code)
    session().add(code)
    session().flush()
    _set_groups(code, groups)
    refresh([code.id])
    return code


def change_group_code(code_id: int, values: Mapping[str, Any]) -> GroupCode:
    """Change the given fields; WeCom hears of it only when what it holds really differs.

    On a code WeCom refused, or no longer has, this tries again.

    :raises NotFound: when there is no such code, or it was deleted
    :raises InvalidInput: when something named does not exist, or the naming rule is missing
    """
    code = locked_code(code_id)
    given = dict(values)
    groups = given.pop("groups", None)
    _check(given, groups or [])
    with session().no_autoflush:
        for name, value in given.items():
            setattr(code, name, value)
        _check_naming(code)
    session().flush()
    if groups is not None:
        _set_groups(code, groups)
    elif "entry_welcome_id" in given:
        behind = select(GroupCodeGroup.group_id).where(
            GroupCodeGroup.group_code_id == code.id, GroupCodeGroup.removed_at.is_(None)
        )
        publish(GroupsPutBehindCode(code.id, tuple(sorted(session().scalars(behind)))))
    refresh([code.id])
    return code


def delete_group_code(code_id: int) -> None:
    """Take a code away here and at WeCom; its groups and the tags it gave stay.

    :raises NotFound: when there is no such code, or it was deleted before
    """
    code = locked_code(code_id)
    code.status, code.full_at = EntryState.DELETED, None
    session().flush()
    refresh([code.id])


def locked_code(code_id: int) -> GroupCode:
    """The code, locked; raises NotFound when there is none or it was deleted."""
    code = session().get(GroupCode, code_id, with_for_update={"key_share": True}, populate_existing=True)
    if code is None or code.status is EntryState.DELETED:
        raise NotFound(f"there is no group code {code_id}")
    return code


def put_behind(code_groups: Sequence[tuple[int, int]]) -> set[int]:
    """WeCom made these groups for codes: put them behind, after the others; returns the codes that got one.

    A group that is or was behind the code is left as it is.

    :param code_groups: (code id, group id)
    """
    if not code_groups:
        return set()
    added = session().execute(
        _PUT,
        {
            "codes": [code for code, _ in sorted(code_groups)],
            "groups": [group for _, group in sorted(code_groups)],
        },
    )
    return _told([(row.group_code_id, row.group_id) for row in added])


_PUT = text(f"""
INSERT INTO group_code_groups (group_code_id, group_id, position, source)
SELECT v.code, v.grp, COALESCE((SELECT max(position) FROM group_code_groups o WHERE o.group_code_id = v.code), -1)
  + row_number() OVER (PARTITION BY v.code ORDER BY v.grp), '{GroupSource.WECOM}'
FROM (SELECT DISTINCT * FROM unnest(CAST(:codes AS bigint[]), CAST(:groups AS bigint[])) AS v(code, grp)) v
ORDER BY 1, 2
ON CONFLICT (group_code_id, group_id) DO NOTHING
RETURNING group_code_id, group_id
""")  # noqa: S608  # constants of this module


def _told(added: Sequence[tuple[int, int]]) -> set[int]:
    by_code: dict[int, list[int]] = {}
    for code_id, group_id in sorted(added):
        by_code.setdefault(code_id, []).append(group_id)
    publish(*(GroupsPutBehindCode(code_id, tuple(ids)) for code_id, ids in by_code.items()))
    return set(by_code)


def _set_groups(code: GroupCode, groups: Sequence[Mapping[str, Any]]) -> None:
    """Make the groups behind a code exactly these, in this order."""
    ids = [group["group_id"] for group in groups]
    gone = (
        update(GroupCodeGroup)
        .where(
            GroupCodeGroup.group_code_id == code.id,
            GroupCodeGroup.group_id.not_in(ids),
            GroupCodeGroup.removed_at.is_(None),
        )
        .values(removed_at=utcnow())
    )
    session().execute(gone)
    rows = [
        {
            "group_code_id": code.id,
            "group_id": group["group_id"],
            "position": place,
            "cap": group.get("cap"),
            "source": GroupSource.CHOSEN,
        }
        for place, group in sorted(enumerate(groups), key=lambda item: item[1]["group_id"])
    ]
    adding = insert(GroupCodeGroup)
    merged = adding.on_conflict_do_update(
        index_elements=["group_code_id", "group_id"],
        set_={"position": adding.excluded.position, "cap": adding.excluded.cap, "removed_at": None},
    )
    session().execute(merged, rows)
    publish(GroupsPutBehindCode(code.id, tuple(sorted(ids))))


def _check(values: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> None:
    check_groups([group["group_id"] for group in groups])
    check_tags(values.get("tag_ids", []))
    check_entry_welcome(values.get("entry_welcome_id"))


def _check_naming(code: GroupCode) -> None:
    if code.auto_create_room and not code.room_base_name:
        raise InvalidInput.field("room_base_name", "is needed to name the groups that WeCom makes")
