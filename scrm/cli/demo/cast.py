"""Everything the story needs at hand, and what it remembers for the comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from scrm.cli.story.api import Api, Json
from scrm.cli.story.marketing import Marketing
from scrm.sandbox.control import SandboxControl


@dataclass
class Cast:
    """The scene.

    :param progress: gets (what, number done, number wanted) while something takes time
    :param people: who scanned, as the sandbox answered: external_userid, userid, welcome_codes
    :param askers: external_userids who asked for the price
    """

    api: Api
    control: SandboxControl
    progress: Callable[[str, int, int], None]
    marketing: Marketing = field(default_factory=lambda: Marketing({}, {}))
    people: list[Json] = field(default_factory=list)
    chats: list[str] = field(default_factory=list)
    askers: list[str] = field(default_factory=list)
    staff_messages: int = 0
    broadcasts: dict[str, Json] = field(default_factory=dict)

    def customers(self) -> dict[str, Json]:
        """Our customers by external_userid."""
        return {one["external_userid"]: one for one in self.api.every("customers")}
