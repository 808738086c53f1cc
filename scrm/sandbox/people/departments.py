"""Departments made, renamed, moved and deleted, with the change_contact callbacks (wecom-api.md §3.6, §5.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrm.sandbox.callbacks.bodies import cdata, plain
from scrm.sandbox.errors import ControlError
from scrm.sandbox.model.people import Department

if TYPE_CHECKING:
    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.model.world import World
    from scrm.sandbox.runtime import Sandbox

EVENT, FEATURE = "change_contact", "contacts"
ROOT = 1


def add(sandbox: Sandbox, name: str, parentid: int, order: int) -> tuple[int, list[Delivery]]:
    """A new department: create_party."""
    world = sandbox.world
    find(world, parentid)
    _check_name(world, name, parentid, None)
    department_id = max(world.departments) + 1
    world.departments[department_id] = Department(department_id, name, parentid, order)
    rest = (
        plain("Id", department_id)
        + cdata("Name", name)
        + cdata("ParentId", str(parentid))
        + plain("Order", order)
    )
    return department_id, _emit(sandbox, "create_party", rest)


def update(
    sandbox: Sandbox, department_id: int, name: str | None, parentid: int | None, order: int | None
) -> list[Delivery]:
    """Rename or move: update_party with what changed; changing only the order calls nobody."""
    world = sandbox.world
    department = find(world, department_id)
    rest = ""
    if parentid is not None and parentid != department.parentid:
        find(world, parentid)
        if parentid in world.subtree([department_id]):
            raise ControlError("a department cannot be put below itself (60010)", 409)
    _check_name(world, name or department.name, parentid or department.parentid, department_id)
    if name is not None and name != department.name:
        department.name = name
        rest += cdata("Name", name)
    if parentid is not None and parentid != department.parentid:
        department.parentid = parentid
        rest += cdata("ParentId", str(parentid))
    if order is not None:
        department.order = order
    return _emit(sandbox, "update_party", plain("Id", department_id) + rest) if rest else []


def remove(sandbox: Sandbox, department_id: int) -> list[Delivery]:
    """Delete an empty department: delete_party."""
    world = sandbox.world
    find(world, department_id)
    if department_id == ROOT:
        raise ControlError("the root department cannot be deleted (60007)", 409)
    if any(department_id in member.departments for member in world.members.values()):
        raise ControlError("the department has members (60005)", 409)
    if any(item.parentid == department_id for item in world.departments.values()):
        raise ControlError("the department has children (60006)", 409)
    del world.departments[department_id]
    for tag in world.member_tags.values():
        if department_id in tag.parties:
            tag.parties.remove(department_id)
    return _emit(sandbox, "delete_party", plain("Id", department_id))


def find(world: World, department_id: int) -> Department:
    """A department; ControlError 404 when there is none."""
    found = world.departments.get(department_id)
    if found is None:
        raise ControlError(f"there is no department {department_id}", 404)
    return found


def _check_name(world: World, name: str, parentid: int, department_id: int | None) -> None:
    for item in world.departments.values():
        if item.parentid == parentid and item.name == name and item.id != department_id:
            raise ControlError(f"the parent already has a department {name!r} (60008)", 409)


def _emit(sandbox: Sandbox, change: str, rest: str) -> list[Delivery]:
    return sandbox.outbox.event(EVENT, change, cdata("ChangeType", change) + rest, FEATURE)
