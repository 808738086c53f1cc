"""Objects that live as long as the app in this process: connections, caches, work in hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from flask import current_app

T = TypeVar("T")


def kept(name: str, make: Callable[[], T]) -> T:
    """The object called ``name`` of the running app, made at the first question; needs an app context."""
    extensions = current_app.extensions
    if name not in extensions:
        extensions.setdefault(name, make())  # two threads may both make one; all use the first
    return cast("T", extensions[name])
