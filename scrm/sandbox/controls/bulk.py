"""Control of corps of a million."""

from __future__ import annotations

from typing import Any

from scrm.sandbox.controls.transport import ControlClient, Json


class BulkControl(ControlClient):
    """Customers that are computed rather than stored, for benches; a sync reads them like any others."""

    def bulk(self, members: int = 1_000, customers_per_member: int = 1_000, **plan: Any) -> Json:
        """Make such a corp; more: departments, second_follow_share, tag_share, state_share, states, tag_groups,
        tags_per_group, groups_per_member, group_size. One customer alone becomes ordinary when acted on.
        """
        return self.post("/bulk", members=members, customers_per_member=customers_per_member, **plan)

    def bulk_counts(self) -> Json:
        """Exactly what a sync must find: relations, customers, groups; stored = ordinary ones by now."""
        return self.call("GET", "/bulk")

    def alter_bulk(self, what: str, share: float) -> Json:
        """Alter a share of what is there; `what` = remark, name, tags, gone (relations), group_name, group_gone.

        Answers `changed` (exactly how many: customers for name, groups for group_*, relations otherwise) and a
        `sample` of up to 50 ids.
        """
        return self.post("/bulk/alter", what=what, share=share)

    def fail_members(self, userids: list[str], errcode: int) -> Json:
        """Customer-contact calls about these members answer `errcode` until it is set to 0."""
        return self.post("/staff/failing", userids=userids, errcode=errcode)
