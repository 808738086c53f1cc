"""What can happen around gaining customers; ids only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NameWanted:
    """A welcome names its customer, whose name we do not know yet: WeCom must be asked, quickly."""

    welcome_id: int


@dataclass(frozen=True)
class ChecksDue:
    """Something happened that may change who serves some channel codes; their rows say which."""


@dataclass(frozen=True)
class RemarksDue:
    """Newcomers wait for the remark of their code, and more became known of them."""


@dataclass(frozen=True)
class PicturesDue:
    """WeCom made QR codes that nobody has read yet."""
