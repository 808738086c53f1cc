"""Imports every API module once, which registers its handlers."""

from __future__ import annotations

from importlib import import_module

MODULES = (
    "token",
    "members",
    "customers",
    "tags",
    "contact_ways",
    "welcome",
    "groups",
    "mass_send",
    "mass_send_results",
    "media",
    "messages",
    "kf",
    "kf_send",
    "kf_state",
)


def load_handlers() -> None:
    """Fill the registry; cheap to call again."""
    for name in MODULES:
        import_module(f"scrm.sandbox.api.{name}")
