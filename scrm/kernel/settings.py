"""The settings of the running app; in tests and in one process with several apps they differ from the process's own."""

from __future__ import annotations

from datetime import date

from flask import current_app

from config.settings import Settings
from scrm.kernel.clock import in_zone, utcnow

EXTENSION = "scrm_settings"


def settings() -> Settings:
    """What the running app was made with; needs an app context."""
    made: Settings = current_app.extensions[EXTENSION]
    return made


def corp_today() -> date:
    """Today in the corp's zone."""
    return in_zone(utcnow(), settings().corp.zone).date()
