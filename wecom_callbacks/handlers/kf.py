"""Customer service (微信客服) has something to read, or its accounts change hands (wecom-api.md section 3.5)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from scrm.conversations.service.kf import PullWish, take_away, want_pull
from wecom_callbacks.reasons import Ignored
from wecom_callbacks.registry import Batch, Reasons, handles, ignoring, named, text


@handles("kf_msg_or_event")
def kf_messages_wait(batch: Batch) -> Reasons:
    """One callback may stand for many messages: it only says that the account should be read."""
    told, ignored = named(batch, "OpenKfId")
    want_pull([PullWish(c.fields["OpenKfId"], text(c.fields.get("Token")), c.event_at) for c in told])
    return ignored


@handles("kf_account_auth_change")
def kf_accounts_change_hands(batch: Batch) -> Reasons:
    """Accounts were given to our app (read them from where they stand) or taken from it."""
    given = list(_accounts(batch, "AuthAddOpenKfId"))
    taken = list(_accounts(batch, "AuthDelOpenKfId"))
    want_pull([PullWish(open_kfid, None, at) for _, open_kfid, at in given])
    take_away({open_kfid: at for _, open_kfid, at in sorted(taken, key=lambda one: one[2])})
    spoken = {row_id for row_id, _, _ in [*given, *taken]}
    return ignoring(batch, [one for one in batch if one.row_id in spoken], Ignored.INCOMPLETE)


def _accounts(batch: Batch, name: str) -> Iterator[tuple[int, str, datetime]]:
    """(inbox row, open_kfid, time) of each account in this element, which may repeat."""
    for one in batch:
        for open_kfid in _texts(one.fields.get(name)):
            yield one.row_id, open_kfid, one.event_at


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str) and one]
