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

    def shuffle_tags(self, group_id: str) -> Json:
        """Reorder a group's tags."""
        return self.post("/tags/shuffle", group_id=group_id)

    def create_staff(self, userid: str, name: str, department: int = 1) -> Json:
        """A new member."""
        return self.post("/staff/create", userid=userid, name=name, department=department)

    def delete_staff(self, userid: str) -> Json:
        """A member leaves the corp (resigns): delete_user, their customers become unassigned, their groups status 1."""
        return self.post("/staff/delete", userid=userid)

    def staff_behaviour(self, userids: list[str] | None = None, **changes: Any) -> Json:
        """confirm_seconds (None: never), console_welcome, contact_feature, contact_limit, verified, status;
        userids None: everybody."""
        body: Json = dict(changes)
        if userids is not None:
            body["userids"] = userids
        return self.call("POST", "/staff/behaviour", body)

    def create_department(self, name: str, parentid: int = 1) -> int:
        """A new department; returns its id."""
        return int(self.post("/departments/create", name=name, parentid=parentid)["id"])

    def raw_event(self, event: str, xml: str = "", app: str | None = None, **more: str) -> Json:
        """Any event; `xml` goes after the common fields. More: feature (who may hear it)."""
        return self.post("/events/raw", event=event, xml=xml, app=app, **more)
