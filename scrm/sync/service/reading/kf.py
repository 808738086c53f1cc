"""Customer-service accounts and who serves in them (wecom-api.md section 7.1)."""

from __future__ import annotations

from scrm.kernel.clock import utcnow
from scrm.sync.service.pages import Asked, Item, Page, one_by_one
from scrm.wecom.client import Client

ACCOUNT_PAGE = 100  # accounts a page (section 7.1)


def read_accounts(client: Client, asked: Asked) -> Page:
    """The next page of accounts; the cursor is the offset."""
    started, offset = utcnow(), int(asked.cursor or 0)
    answer = client.post("kf/account/list", {"offset": offset, "limit": ACCOUNT_PAGE})
    rows = answer.get("account_list") or []
    items = [Item("kf_accounts", row["open_kfid"], row) for row in rows]
    return Page(
        started, items=items, cursor=str(offset + ACCOUNT_PAGE) if len(rows) == ACCOUNT_PAGE else None
    )


def _ask_servicers(client: Client, open_kfid: str) -> list[Item]:
    answer = client.get("kf/servicer/list", open_kfid=open_kfid)
    return [Item("kf_servicers", open_kfid, {"servicers": answer.get("servicer_list") or []})]


read_servicers = one_by_one(_ask_servicers)
"""Servicers of accounts, one call each."""
