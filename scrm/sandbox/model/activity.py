"""What members and groups did on each day, for the statistics calls (wecom-api.md §4.10)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

CHATS, MESSAGES, REPLIED, REPLY_SECONDS, FEEDBACK = (
    "chats",
    "messages",
    "replied",
    "reply_seconds",
    "feedback",
)


@dataclass(slots=True, eq=False)
class Activity:
    """Counters by (userid, day) and, for groups, who wrote how often by (chat_id, day)."""

    members: dict[tuple[str, int], Counter[str]] = field(default_factory=dict)
    groups: dict[tuple[str, int], Counter[str]] = field(default_factory=dict)

    def member(self, userid: str, day: int) -> Counter[str]:
        """The counters of a member on a day."""
        return self.members.setdefault((userid, day), Counter())

    def group(self, chat_id: str, day: int) -> Counter[str]:
        """Messages by person in a group on a day."""
        return self.groups.setdefault((chat_id, day), Counter())
