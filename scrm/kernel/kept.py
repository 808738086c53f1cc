"""Objects that live as long as the app in this process: connections, caches, work in hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar, cast

from flask import Flask, current_app

T = TypeVar("T")


def entering_app() -> Callable[[], AbstractContextManager[object]]:
    """A function that enters the running app's context in another thread; needs an app context itself."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # Flask's own advice for threads
    return app.app_context


def kept(name: str, make: Callable[[], T]) -> T:
    """The object called ``name`` of the running app, made at the first question; needs an app context."""
    extensions = current_app.extensions
    if name not in extensions:
        extensions.setdefault(name, make())  # two threads may both make one; all use the first
    return cast("T", extensions[name])
