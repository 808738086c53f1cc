"""What can happen to members of staff; ids only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StaffFound:
    """Members were named for the first time; nothing but their userid is known, or what is known is doubtful."""

    staff_ids: tuple[int, ...]


@dataclass(frozen=True)
class StaffMerged:
    """A userid changed to one that had already been heard of: everything of ``gone_id`` belongs to ``kept_id``."""

    kept_id: int
    gone_id: int


@dataclass(frozen=True)
class FollowUsersFound:
    """Members turned out to serve customers (they have WeCom's customer-contact feature)."""

    staff_ids: tuple[int, ...]


@dataclass(frozen=True)
class FollowUsersLost:
    """Members no longer have WeCom's customer-contact feature: a contact way that names them is refused (84074)."""

    staff_ids: tuple[int, ...]


@dataclass(frozen=True)
class StaffLeft:
    """Members left the corp (or our view of it); told once each time ``left_at`` is set, whoever noticed it first."""

    staff_ids: tuple[int, ...]


@dataclass(frozen=True)
class StaffReturned:
    """Members who had left are back; told once each time ``left_at`` is taken away."""

    staff_ids: tuple[int, ...]


@dataclass(frozen=True)
class StaffDepartmentsChanged:
    """Members came into a department, left one, or began or ceased to lead one."""

    staff_ids: tuple[int, ...]


@dataclass(frozen=True)
class DepartmentsMoved:
    """The tree changed at these departments: new, under another parent, deleted, or back."""

    department_ids: tuple[int, ...]


@dataclass(frozen=True)
class DepartmentsDoubted:
    """What callbacks told of departments came late or contradicts itself within one second: WeCom is asked."""


@dataclass(frozen=True)
class StaffListDoubted:
    """Many members changed at once (an import): everybody should be read again."""
