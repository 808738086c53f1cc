"""What can happen to acquisition links; ids only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class QuotaDoubted:
    """WeCom told that the quota changed: it must be read."""


@dataclass(frozen=True)
class LinksDoubted:
    """WeCom named a link we do not know, or somebody wants them read: the list must be read."""


@dataclass(frozen=True)
class ChatsTold:
    """Keys were told that say for half an hour who wrote."""
