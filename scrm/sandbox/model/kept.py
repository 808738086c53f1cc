"""Objects that outlive a release: a state file written before a field existed can still be read."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from typing import Any


class Kept:
    """A base for slotted dataclasses; fields the file does not know get their defaults."""

    __slots__ = ()

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        """Take the slots as pickle gives them; AttributeError later for a field without a default."""
        stored = state[1]
        for item in fields(self):  # type: ignore[arg-type]
            if item.name in stored:
                object.__setattr__(self, item.name, stored[item.name])
            else:
                _set_default(self, item)


def _set_default(owner: Kept, item: Field[Any]) -> None:
    if item.default is not MISSING:
        object.__setattr__(owner, item.name, item.default)
    elif item.default_factory is not MISSING:
        object.__setattr__(owner, item.name, item.default_factory())
