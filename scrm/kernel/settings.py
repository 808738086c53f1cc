"""The settings of the running app; in tests and in one process with several apps they differ from the process's own."""

from __future__ import annotations

from flask import current_app

from config.settings import Settings

EXTENSION = "scrm_settings"


def settings() -> Settings:
    """What the running app was made with; needs an app context."""
    made: Settings = current_app.extensions[EXTENSION]
    return made
