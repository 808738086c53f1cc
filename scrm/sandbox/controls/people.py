"""Control of customers and members."""

from __future__ import annotations

from typing import Any

from scrm.sandbox.controls.transport import ControlClient, Json


class PeopleControl(ControlClient):
    """Customers and members acting in their clients."""

    def scan(self, config_id: str | None = None, state: str | None = None, **person: Any) -> list[Json]:
        """Scan a contact way; person: name, unionid, external_userid, count, half, full_after."""
        return list(self.post("/people/scan", config_id=config_id, state=state, **person)["people"])

    def add(self, userid: str, **person: Any) -> list[Json]:
        """Add a member directly; person as in `scan`, also state, add_way, remark."""
        return list(self.post("/people/add", userid=userid, **person)["people"])

    def delete_follow(self, userid: str, external_userid: str) -> Json:
        """The customer deletes the member."""
        return self.post("/people/delete_follow", userid=userid, external_userid=external_userid)

    def delete_contact(self, userid: str, external_userid: str, source: str | None = None) -> Json:
        """The member deletes the customer."""
        return self.post(
            "/people/delete_contact", userid=userid, external_userid=external_userid, source=source
        )

    def edit(self, userid: str, external_userid: str, **changes: Any) -> Json:
        """The member edits in the client: remark, description, tags, add_tags, remove_tags, mobiles…"""
        return self.post("/people/edit", userid=userid, external_userid=external_userid, **changes)

    def talk(self, userid: str, external_userid: str, **more: int | None) -> Json:
        """Member and customer chat (welcome codes become 41051); more, for the statistics: messages, reply_seconds
        (None: the member did not answer).
        """
        body: Json = {"userid": userid, "external_userid": external_userid, **more}
        return self.call("POST", "/people/talk", body)

    def approve_archive(self, userid: str, external_userid: str) -> Json:
        """The customer agrees to session archiving."""
        return self.post("/people/approve_archive", userid=userid, external_userid=external_userid)

    def transfer_fail(self, userid: str, external_userid: str, reason: str = "customer_refused") -> Json:
        """A transfer to `userid` failed."""
        return self.post(
            "/people/transfer_fail", userid=userid, external_userid=external_userid, reason=reason
        )

    def transfer_done(self, handover_userid: str, takeover_userid: str, external_userid: str) -> Json:
        """An on-job transfer completed."""
        return self.post(
            "/people/transfer_done",
            handover_userid=handover_userid,
            takeover_userid=takeover_userid,
            external_userid=external_userid,
        )
