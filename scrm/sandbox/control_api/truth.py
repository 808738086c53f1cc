"""What GET /control/state/… can show; each view module adds its own entities."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scrm.sandbox.model.world import World

Json = dict[str, Any]
Reader = Callable[["World", str], Json | None]
Lister = Callable[["World"], Iterable[object]]
READERS: dict[str, Reader] = {}
LISTERS: dict[str, Lister] = {}


def entity(name: str, reader: Reader, lister: Lister | None = None) -> None:
    """Make an entity readable by id (None: there is none) and, with a `lister`, listable."""
    READERS[name] = reader
    if lister is not None:
        LISTERS[name] = lister
