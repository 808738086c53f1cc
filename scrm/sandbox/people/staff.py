"""Members coming, changing and leaving, with the change_contact callbacks (wecom-api.md §3.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrm.sandbox.callbacks.bodies import cdata, plain
from scrm.sandbox.errors import ControlError
from scrm.sandbox.model.groups import NORMAL, OWNER_RESIGNED
from scrm.sandbox.model.people import Member
from scrm.sandbox.people.bulk_life import store_all
from scrm.sandbox.people.userids import rename

if TYPE_CHECKING:
    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.model.world import World
    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]
EVENT, FEATURE = "change_contact", "contacts"
ROOT = 1


def add(sandbox: Sandbox, userid: str, values: Json) -> list[Delivery]:
    """A new member, or one who comes back to what nobody took over: create_user with all fields."""
    world = sandbox.world
    if any(known.lower() == userid.lower() for known in world.members):
        raise ControlError(f"there already is a member {userid!r}", 409)
    _check(world, values)
    back = world.left.pop(userid, None)
    if back is not None:
        _mark_groups(world, userid, NORMAL)
        back.left_at = 0
    member = back or Member(userid, userid, (ROOT,))
    _apply(member, values)
    world.members[userid] = member
    return _emit(sandbox, "create_user", cdata("UserID", userid) + _fields(member, EVERYTHING))


def update(sandbox: Sandbox, userid: str, values: Json, new_userid: str | None = None) -> list[Delivery]:
    """Change a member: update_user with NewUserID and only the fields that changed; nothing when none did."""
    world = sandbox.world
    member = world.member(userid)
    _check(world, values)
    before = {name: getattr(member, name) for name in values}
    _apply(member, values)
    changed = {name for name in values if getattr(member, name) != before[name]}
    rest = cdata("UserID", userid)
    if new_userid is not None and new_userid != userid:
        rename(world, userid, new_userid)
        rest += cdata("NewUserID", new_userid)
    elif not changed:
        return []
    return _emit(sandbox, "update_user", rest + _fields(member, changed))


def remove(sandbox: Sandbox, userid: str) -> list[Delivery]:
    """A member leaves the corp: delete_user. Their customers become unassigned and still show the relation."""
    world = sandbox.world
    member = world.member(userid)
    store_all(world, userid)
    member.left_at = world.clock.seconds()
    world.left[userid] = world.members.pop(userid)
    world.failing.pop(userid, None)
    for tag in world.member_tags.values():
        if userid in tag.users:
            tag.users.remove(userid)
    _mark_groups(world, userid, OWNER_RESIGNED)
    return _emit(sandbox, "delete_user", cdata("UserID", userid))


def _check(world: World, values: Json) -> None:
    for item in values.get("departments", ()):
        if item not in world.departments:
            raise ControlError(f"there is no department {item}", 404)
    for item in values.get("direct_leaders", ()):
        world.member(item)


def _apply(member: Member, values: Json) -> None:
    for name, value in values.items():
        setattr(member, name, tuple(value) if isinstance(value, list) else value)
    if not member.departments:
        raise ControlError("departments must not be empty")
    member.leads = tuple(item for item in member.leads if item in member.departments)
    if member.main_department not in member.departments:
        member.main_department = None


def _mark_groups(world: World, owner: str, status: int) -> None:
    for group in world.groups.values():
        if group.owner == owner:
            group.status = status


EVERYTHING = {
    "name",
    "departments",
    "main_department",
    "leads",
    "direct_leaders",
    "position",
    "status",
    "alias",
    "telephone",
}


def _fields(member: Member, changed: set[str]) -> str:
    """The fields of §3.6 in their order; the sensitive ones are absent, as for apps made after 2022-06-20."""
    departments = member.departments
    leads = ",".join("1" if item in member.leads else "0" for item in departments)
    parts = (
        ({"name"}, cdata("Name", member.name)),
        ({"departments"}, cdata("Department", ",".join(map(str, departments)))),
        ({"main_department", "departments"}, plain("MainDepartment", member.main())),
        ({"leads", "departments"}, cdata("IsLeaderInDept", leads)),
        ({"direct_leaders"}, cdata("DirectLeader", ",".join(member.direct_leaders))),
        ({"position"}, cdata("Position", member.position)),
        ({"status"}, plain("Status", member.status)),
        ({"alias"}, cdata("Alias", member.alias)),
        ({"telephone"}, cdata("Telephone", member.telephone)),
    )
    return "".join(text for names, text in parts if names & changed)


def _emit(sandbox: Sandbox, change: str, rest: str) -> list[Delivery]:
    return sandbox.outbox.event(EVENT, change, cdata("ChangeType", change) + rest, FEATURE)
