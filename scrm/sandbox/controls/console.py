"""Control of the admin console."""

from __future__ import annotations

from typing import Any

from scrm.sandbox.controls.transport import ControlClient, Json


class ConsoleControl(ControlClient):
    """The admin console."""

    def create_tags(self, group_name: str, names: list[str]) -> Json:
        """Tags in a group of that name; returns group_id and tags {name: id}."""
        return self.post("/tags/create", group_name=group_name, names=names)

    def edit_tag(self, tag_id: str, name: str | None = None, order: int | None = None) -> Json:
        """Rename or reorder a tag or group."""
        return self.post("/tags/edit", id=tag_id, name=name, order=order)

    def delete_tag(self, tag_id: str) -> Json:
        """Delete a tag or group."""
        return self.post("/tags/delete", id=tag_id)

    def shuffle_tags(self, group_id: str | None = None) -> Json:
        """Reorder a group's tags, or (None) the groups themselves."""
        return self.post("/tags/shuffle", group_id=group_id)

    def staff_behaviour(self, userids: list[str] | None = None, **changes: Any) -> Json:
        """confirm_seconds (None: never), console_welcome, contact_feature, contact_limit, verified, status;
        userids None: everybody."""
        body: Json = dict(changes)
        if userids is not None:
            body["userids"] = userids
        return self.call("POST", "/staff/behaviour", body)

    def strategy_tag(self, change: str = "create", **more: Any) -> Json:
        """A rule group's tag changes (create, update, delete, shuffle); more: kind (tag, tag_group), strategy_id, id."""
        return self.post("/tags/strategy", change=change, **more)

    def notify_archive(self, app: str = "main") -> Json:
        """msgaudit_notify, at most once in 15 seconds (otherwise `callbacks` is empty)."""
        return self.post("/archive/notify", app=app)

    def raw_event(self, event: str, xml: str = "", app: str | None = None, **more: str) -> Json:
        """Any event; `xml` goes after the common fields. More: feature (who may hear it)."""
        return self.post("/events/raw", event=event, xml=xml, app=app, **more)
