"""What a rule says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RuleText:
    """What a rule says at one version.

    :param remove_tag_ids: tags this rule set at some time, taken away while the condition holds
    :param keep: tags stay when the condition no longer holds
    """

    id: int
    version: int
    condition: dict[str, Any]
    add_tag_ids: Sequence[int]
    remove_tag_ids: Sequence[int] = ()
    keep: bool = False

    @property
    def source(self) -> str:
        """How assignments name this rule."""
        return f"rule:{self.id}"
