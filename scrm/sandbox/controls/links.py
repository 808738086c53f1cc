"""Control of acquisition links."""

from __future__ import annotations

from typing import Any

from scrm.sandbox.controls.transport import ControlClient, Json


class LinkControl(ControlClient):
    """Visitors of acquisition links, their messages, the quota."""

    def visit_link(self, link_id: str | None = None, url: str | None = None, **how: Any) -> list[Json]:
        """Somebody clicks a link (its url may carry ?customer_channel=…), asks and is added as skip_verify says.

        More: customer_channel, profile (open_profile first), request=False (only looks), accepted (the member
        approves or not), person as in `scan`, count. Each row tells requested, added, already, welcome_codes.
        """
        return list(self.post("/links/visit", link_id=link_id, url=url, **how)["people"])

    def accept_link_request(self, link_id: str, external_userid: str) -> Json:
        """The member approves a request that waits."""
        return self.post("/links/accept", link_id=link_id, external_userid=external_userid)

    def write_after_link(self, userid: str, external_userid: str, count: int = 1) -> Json:
        """A customer who came through a link writes: customer_start_chat, ChatKeys at the 3rd, 5th, 10th message."""
        return self.post("/links/write", userid=userid, external_userid=external_userid, count=count)

    def break_link(self, link_id: str) -> Json:
        """The link stops working: link_unavailable."""
        return self.post("/links/unavailable", link_id=link_id)

    def delete_link(self, link_id: str) -> Json:
        """An administrator deletes the link in the console: delete_link."""
        return self.post("/links/delete", link_id=link_id)

    def buy_link_quota(self, number: int, expires: int | None = None) -> Json:
        """More adds until `expires` (Unix seconds, a year by default): balance_increased when there were none."""
        return self.post("/links/quota", buy=number, expires=expires)

    def leave_link_quota(self, left: int) -> Json:
        """Use up the quota but for `left` adds: balance_low below 20, balance_exhausted at 0."""
        return self.post("/links/quota", leave=left)
