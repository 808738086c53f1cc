"""Customer groups and their member_version chain (wecom-api.md §3.2, §4.7)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from scrm.sandbox.model.kept import Kept

JOIN_INVITED = 1
JOIN_LINK = 2
JOIN_QR = 3
NORMAL, OWNER_RESIGNED, INHERITING, INHERITED = range(4)


@dataclass(slots=True, eq=False)
class GroupMember:
    """One person in a group: type 1 = member of the corp, 2 = outside person."""

    userid: str
    type: int
    join_time: int
    join_scene: int = JOIN_INVITED
    invitor: str | None = None
    state: str | None = None
    group_nickname: str = ""


@dataclass(slots=True, eq=False)
class Group(Kept):
    """A customer group. `version` is the newest link of the chain; `status` 0 normal … 3 inherited;
    `heir` = the new owner while a transfer is under way; `inactive` = nobody wrote for a year (90510);
    `capacity` = how many people fit in (None: Limits.group_capacity);
    `template_id` = the entry welcome a person attached; `stale` = earlier looks and how long
    reading calls still show them."""

    chat_id: str
    name: str
    owner: str
    create_time: int
    version: str
    notice: str | None = None
    status: int = 0
    members: dict[str, GroupMember] = field(default_factory=dict)
    admins: list[str] = field(default_factory=list)
    dismissed: bool = False
    heir: str | None = None
    inactive: bool = False
    capacity: int | None = None
    template_id: str | None = None
    seen_from: float = 0.0
    stale: list[tuple[float, Group]] = field(default_factory=list)

    def before_change(self, until: float) -> None:
        """Keep how the group looks now: groupchat/get may still show it so until then (§3.2)."""
        copy = replace(self, members=dict(self.members), admins=list(self.admins), stale=[])
        self.stale.append((until, copy))

    def as_seen(self, now: float) -> Group | None:
        """How groupchat/get shows the group now; None for one that is too new."""
        while self.stale and self.stale[0][0] <= now:
            self.stale.pop(0)
        if now < self.seen_from:
            return None
        return self.stale[0][1] if self.stale else self
