"""Customer service (微信客服) has something to read (wecom-api.md section 3.5)."""

from __future__ import annotations

from typing import Any

from scrm.conversations.service.kf import PullWish, want_pull
from wecom_callbacks.registry import Callback, handles


@handles("kf_msg_or_event")
def kf_messages_wait(batch: list[Callback]) -> None:
    """One callback may stand for many messages: it only says that the account should be read."""
    want_pull([PullWish(str(c.fields["OpenKfId"]), c.fields.get("Token") or None, c.event_at) for c in batch])


@handles("kf_account_auth_change")
def kf_accounts_granted(batch: list[Callback]) -> None:
    """Accounts were given to our app: read them from where they stand."""
    want_pull(
        [
            PullWish(open_kfid, None, callback.event_at)
            for callback in batch
            for open_kfid in _listed(callback.fields.get("AuthAddOpenKfId"))
        ]
    )


def _listed(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str) and one]
