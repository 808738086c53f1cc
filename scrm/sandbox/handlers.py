"""Imports every module of `api/` once, which registers its handlers."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import scrm.sandbox.api


def load_handlers() -> None:
    """Fill the registry; cheap to call again."""
    for module in iter_modules(scrm.sandbox.api.__path__):
        import_module(f"scrm.sandbox.api.{module.name}")
