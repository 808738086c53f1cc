"""Control of customer groups and mass sends."""

from __future__ import annotations

from scrm.sandbox.controls.transport import ControlClient, Json


class GroupControl(ControlClient):
    """Customer groups and mass sends."""

    def create_group(self, owner: str, people: list[str] | None = None, name: str | None = None) -> Json:
        """A member makes a group; returns chat_id and member_version."""
        return self.post("/groups/create", owner=owner, people=people, name=name)

    def join_group(self, chat_id: str, people: list[str], join_scene: int = 3, **more: str) -> Json:
        """People join (1 invited, 2 link, 3 QR); more: invitor, state."""
        return self.post("/groups/join", chat_id=chat_id, people=people, join_scene=join_scene, **more)

    def leave_group(self, chat_id: str, people: list[str], removed: bool = False) -> Json:
        """People leave, or are removed."""
        return self.post("/groups/leave", chat_id=chat_id, people=people, removed=removed)

    def rename_group(self, chat_id: str, name: str) -> Json:
        """change_name."""
        return self.post("/groups/rename", chat_id=chat_id, name=name)

    def notice_group(self, chat_id: str, notice: str) -> Json:
        """change_notice."""
        return self.post("/groups/notice", chat_id=chat_id, notice=notice)

    def own_group(self, chat_id: str, owner: str) -> Json:
        """change_owner."""
        return self.post("/groups/owner", chat_id=chat_id, owner=owner)

    def dismiss_group(self, chat_id: str) -> Json:
        """The group is dissolved."""
        return self.post("/groups/dismiss", chat_id=chat_id)

    def talk_in_group(self, chat_id: str, people: list[str], count: int = 1) -> Json:
        """These people write `count` messages each; groupchat/statistic shows it the next day."""
        return self.post("/groups/talk", chat_id=chat_id, people=people, count=count)

    def scan_group(
        self, config_id: str | None = None, state: str | None = None, **person: object
    ) -> list[Json]:
        """Scan a join way; person: name, unionid, external_userid, count. Each row tells chat_id, created, already."""
        return list(self.post("/groups/scan", config_id=config_id, state=state, **person)["people"])

    def attach_template(self, chat_id: str, template_id: str | None) -> Json:
        """A person attaches an entry welcome template to a group (None: takes it off)."""
        return self.post("/groups/template", chat_id=chat_id, template_id=template_id)

    def group_behaviour(self, chat_id: str, **changes: int | bool | None) -> Json:
        """capacity (None: the corp's default), inactive (90510 when it is to be transferred)."""
        return self.call("POST", "/groups/behaviour", {"chat_id": chat_id, **changes})

    def confirm_broadcast(self, msgid: str, userids: list[str] | None = None) -> list[str]:
        """Senders press send (None: everybody who has not); returns who did."""
        return list(self.post("/broadcast/confirm", msgid=msgid, userids=userids)["confirmed"])
