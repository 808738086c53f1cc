"""HTTP for every package (first cut)."""

from __future__ import annotations

from flask import Flask


def init_http(app: Flask, modules: list[object]) -> None:
    """Register the views."""
    for module in modules:
        for name in ("blueprint",):
            blueprint = getattr(module, name, None)
            if blueprint is not None:
                app.register_blueprint(blueprint)
