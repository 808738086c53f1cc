"""Enterprise tags, their groups, and contact ways."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, eq=False)
class Tag:
    """An enterprise tag; `creator` is the app that made it, None for the admin console (81011)."""

    id: str
    name: str
    group_id: str
    create_time: int
    order: int = 0
    creator: str | None = None


@dataclass(slots=True, eq=False)
class TagGroup:
    """A tag group; it disappears with its last tag (wecom-api.md §4.3)."""

    id: str
    name: str
    create_time: int
    order: int = 0
    creator: str | None = None
    tags: dict[str, Tag] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class ContactWay:
    """A 「联系我」 way. `settings` holds the fields of get_contact_way as given (§4.4)."""

    config_id: str
    created: int
    settings: dict[str, Any]
    people: tuple[str, ...]
    app: str

    @property
    def state(self) -> str | None:
        """The channel's state, None when it has none."""
        return self.settings.get("state") or None


@dataclass(slots=True, eq=False)
class WelcomeRound:
    """One add of one customer: all apps' welcome codes share it, the first caller wins (§4.5)."""

    userid: str
    external_userid: str
    created: float
    sent_at: float | None = None
    sent_by: str | None = None
    chatted: bool = False
    message: dict[str, Any] | None = None


@dataclass(slots=True, eq=False)
class WelcomeCode:
    """One app's code for a round."""

    code: str
    app: str
    round: WelcomeRound
