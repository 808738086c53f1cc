"""Groups as groupchat/get shows them (wecom-api.md section 4.7)."""

from __future__ import annotations

from typing import Any

from scrm.groups.service.details import GroupSeen, MemberSeen
from scrm.kernel.clock import from_epoch

Json = dict[str, Any]


def group_from(shown: Json, stored_version: str | None) -> GroupSeen:
    """A group out of ``group_chat`` of groupchat/get."""
    founded = shown.get("create_time")
    return GroupSeen(
        chat_id=shown["chat_id"],
        name=shown.get("name"),
        notice=shown.get("notice"),
        owner_userid=shown.get("owner"),
        founded_at=from_epoch(founded) if founded else None,
        version=shown.get("member_version"),
        members=tuple(_member(row) for row in shown.get("member_list") or []),
        stored_version=stored_version,
    )


def _member(row: Json) -> MemberSeen:
    return MemberSeen(
        member_id=row["userid"],
        member_type=row["type"],
        joined_at=from_epoch(row["join_time"]),
        join_scene=row.get("join_scene"),
        invitor_userid=(row.get("invitor") or {}).get("userid"),
        state=row.get("state") or None,
        name=row.get("name"),
        group_nickname=row.get("group_nickname") or None,
        unionid=row.get("unionid"),
    )
