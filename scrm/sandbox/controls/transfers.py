"""Control of transfers."""

from __future__ import annotations

from scrm.sandbox.controls.transport import ControlClient, Json


class TransferControl(ControlClient):
    """What happens to transfers the API has started (they finish by themselves 24 h later)."""

    def refuse_transfers(self, external_userids: list[str] | None = None) -> Json:
        """These customers (None: all under way) refuse: status 3, transfer_fail customer_refused."""
        return self.post("/transfers/refuse", external_userids=external_userids)

    def finish_transfers(self, external_userids: list[str] | None = None) -> Json:
        """These transfers (None: all under way) happen now, without moving the clock by 24 hours."""
        return self.post("/transfers/finish", external_userids=external_userids)

    def unassigned(self) -> list[Json]:
        """Customers of resigned members nobody has taken over: handover_userid, external_userid."""
        return list(self.call("GET", "/transfers/unassigned")["unassigned"])
