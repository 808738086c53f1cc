"""An API key for the program's own stories."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def fresh_key(app: Flask, name: str) -> str:
    """A new key called ``name`` with all permissions; earlier ones of this name are revoked."""
    from scrm.kernel.apikeys import create_key, list_keys, revoke_key
    from scrm.kernel.db import transaction

    with app.app_context(), transaction():
        for old in list_keys():
            if old.name == name and old.revoked_at is None:
                revoke_key(old.prefix)
        _, token = create_key(name, ["*"])
    return token
