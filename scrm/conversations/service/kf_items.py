"""What kf/sync_msg lists, as messages of ours (wecom-api.md sections 7.2 to 7.4)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from scrm.conversations.models import Channel, Direction
from scrm.conversations.service.messages import NewMessage
from scrm.kernel.clock import from_epoch

FROM_CUSTOMER, SYSTEM_EVENT, FROM_SERVICER = 3, 4, 5
DIRECTIONS = {FROM_CUSTOMER: Direction.IN, FROM_SERVICER: Direction.OUT}


def parse_items(items: Sequence[Mapping[str, Any]], account_id: int) -> list[NewMessage]:
    """Messages and events in the order of the log; kinds we do not know keep their whole body."""
    return [_parse(clean(item), account_id) for item in items]


def clean(value: Any) -> Any:
    """``value`` without what PostgreSQL cannot store: NUL characters and halves of surrogate pairs.

    JSON may carry both; a single one would otherwise stop the account for ever.
    """
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {clean(key): clean(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [clean(inner) for inner in value]
    return value


def _parse(item: Mapping[str, Any], account_id: int) -> NewMessage:
    kind = str(item.get("msgtype") or "unknown")
    body = item.get(kind)
    content: dict[str, Any] = body if isinstance(body, dict) else dict(item)
    is_event = kind == "event"
    who = content if is_event else item
    return NewMessage(
        channel=Channel.KF,
        key=_key(item),
        sent_at=from_epoch(item.get("send_time") or 0),
        direction=Direction.EVENT if is_event else DIRECTIONS.get(item.get("origin", 0), Direction.EVENT),
        kind=str(content.get("event_type") or kind) if is_event else kind,
        text=_string(content.get("content")) if kind == "text" else None,
        media_id=_string(content.get("media_id")),
        content=content,
        external_userid=_string(who.get("external_userid")),
        userid=_string(who.get("servicer_userid") or who.get("new_servicer_userid")),
        kf_account_id=account_id,
    )


def _string(value: Any) -> str | None:
    return str(value) if value else None


def _key(item: Mapping[str, Any]) -> str:
    """WeCom's msgid; an item without one is told apart by its whole content."""
    given = item.get("msgid")
    return (
        str(given) if given else hashlib.sha256(orjson.dumps(item, option=orjson.OPT_SORT_KEYS)).hexdigest()
    )
