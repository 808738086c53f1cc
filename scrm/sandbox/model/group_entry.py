"""How people enter customer groups: join ways and entry welcome templates (wecom-api.md §4.6, §4.8)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, eq=False)
class JoinWay:
    """A 「加入群聊」 way. `settings` holds the fields of get_join_way as given; `rooms` = chat_ids of groups
    WeCom has added by itself since; `made` = how many serial numbers are used up."""

    config_id: str
    created: int
    settings: dict[str, Any]
    app: str
    rooms: list[str] = field(default_factory=list)
    made: int = 0

    @property
    def state(self) -> str | None:
        """The channel's state, None when it has none."""
        return self.settings.get("state") or None


@dataclass(slots=True, eq=False)
class WelcomeTemplate:
    """A 入群欢迎语. `message` is what get answers; `notify` = whether members were told of it."""

    template_id: str
    created: int
    message: dict[str, Any]
    app: str
    notify: bool
