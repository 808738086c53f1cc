"""Control of members, departments, member tags and the apps' settings."""

from __future__ import annotations

from typing import Any

from scrm.sandbox.controls.transport import ControlClient, Json


class StaffControl(ControlClient):
    """What an administrator does in the contacts and to the apps; every call makes WeCom's callbacks."""

    def create_staff(self, userid: str, name: str, department: int = 1, **more: Any) -> Json:
        """A new member (create_user), or one who comes back; more as in `update_staff`."""
        if "departments" not in more:
            more["department"] = department
        return self.post("/staff/create", userid=userid, name=name, **more)

    def update_staff(self, userid: str, **changes: Any) -> Json:
        """Change a member (update_user with what changed): new_userid, name, departments, main_department,
        leader_in (departments they lead), direct_leader, position, alias, telephone, external_position, status.
        """
        return self.post("/staff/update", userid=userid, **changes)

    def delete_staff(self, userid: str) -> Json:
        """A member leaves the corp (resigns): delete_user, their customers become unassigned, their groups status 1."""
        return self.post("/staff/delete", userid=userid)

    def create_department(self, name: str, parentid: int = 1, order: int = 0) -> int:
        """A new department (create_party); returns its id."""
        return int(self.post("/departments/create", name=name, parentid=parentid, order=order)["id"])

    def update_department(self, department_id: int, **changes: Any) -> Json:
        """Rename or move a department (update_party): name, parentid, order."""
        return self.post("/departments/update", id=department_id, **changes)

    def delete_department(self, department_id: int) -> Json:
        """Delete an empty department (delete_party)."""
        return self.post("/departments/delete", id=department_id)

    def create_member_tag(self, name: str) -> int:
        """A tag for members; returns its id."""
        return int(self.post("/member_tags/create", name=name)["id"])

    def change_member_tag(self, tag_id: int, **changes: Any) -> Json:
        """update_tag: add_users, del_users (userids), add_parties, del_parties (department ids)."""
        return self.post("/member_tags/change", id=tag_id, **changes)

    def change_app(self, app: str = "main", **changes: Any) -> Json:
        """Settings of an app: visible (userids, None: everybody; subscribe and unsubscribe are told), features
        (without one: 48002), trusted_ips (None: any; others get 60020), secret (the old one: 40001).
        """
        return self.call("POST", "/apps/change", {"app": app, **changes})
