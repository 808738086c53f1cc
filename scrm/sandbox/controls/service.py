"""Control of customer service and members writing to the app."""

from __future__ import annotations

from typing import Any

from scrm.sandbox.controls.transport import ControlClient, Json


class ServiceControl(ControlClient):
    """Customer service (kf) and members' messages to the app."""

    def chat(self, external_userid: str | None = None, content: str | None = None, **more: Any) -> Json:
        """A customer writes to a kf account; more: open_kfid, name, msgtype, message, menu_id, count."""
        return self.post("/people/chat", external_userid=external_userid, content=content, **more)

    def kf_enter(self, external_userid: str | None = None, **more: Any) -> Json:
        """A customer opens the conversation; returns welcome_code or None. More: open_kfid, scene, scene_param."""
        return self.post("/kf/enter", external_userid=external_userid, **more)

    def servicer_reply(self, userid: str, external_userid: str, **more: Any) -> Json:
        """A servicer answers in the client; more: open_kfid, content, msgtype, message."""
        return self.post("/kf/servicer_reply", userid=userid, external_userid=external_userid, **more)

    def servicer_take(self, userid: str, external_userid: str, open_kfid: str | None = None) -> Json:
        """A servicer takes the session."""
        return self.post(
            "/kf/servicer_take", userid=userid, external_userid=external_userid, open_kfid=open_kfid
        )

    def servicer_end(self, external_userid: str, open_kfid: str | None = None) -> Json:
        """The servicer ends the session."""
        return self.post("/kf/servicer_end", external_userid=external_userid, open_kfid=open_kfid)

    def servicer_status(self, userid: str, serving: bool, open_kfid: str | None = None) -> Json:
        """A servicer starts or stops serving."""
        return self.post("/kf/servicer_status", userid=userid, serving=serving, open_kfid=open_kfid)

    def kf_event(self, event: Json, open_kfid: str | None = None) -> Json:
        """Any event of wecom-api.md §7.4 into the account's log."""
        return self.post("/kf/event", event=event, open_kfid=open_kfid)

    def kf_grant(self, apps: list[str] | None, open_kfid: str | None = None) -> Json:
        """Grant a kf account to these apps only (None: to all)."""
        return self.call("POST", "/kf/grant", {"apps": apps, "open_kfid": open_kfid})

    def create_kf_account(self, name: str, servicers: list[str] | None = None) -> str:
        """A new kf account (kf_account_auth_change, AuthAddOpenKfId); returns its open_kfid."""
        return str(self.post("/kf/create", name=name, servicers=servicers)["open_kfid"])

    def delete_kf_account(self, open_kfid: str) -> Json:
        """Delete a kf account (AuthDelOpenKfId)."""
        return self.post("/kf/delete", open_kfid=open_kfid)

    def staff_message(self, userid: str, content: str | None = None, **more: Any) -> Json:
        """A member writes to the app; more: app, msgtype, fields {field of §3.7: text}."""
        return self.post("/staff/message", userid=userid, content=content, **more)

    def staff_event(self, userid: str, event: str, **more: Any) -> Json:
        """subscribe, enter_agent, click …; more: app, fields."""
        return self.post("/staff/event", userid=userid, event=event, **more)
