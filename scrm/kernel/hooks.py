"""Signed requests of other systems (``sources`` in the settings), checked before a view sees them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from flask import request

from scrm.kernel.errors import NotFound
from scrm.kernel.permissions import public
from scrm.kernel.settings import settings
from scrm.kernel.signing import check_signature

R = TypeVar("R")


def signed(view: Callable[[str, bytes], R]) -> Callable[[str], R]:
    """A view of ``/hooks/<source>/…`` that gets the source and the body once their signature is right.

    Nobody needs an API key for it. A source that the settings do not name answers as if the address did not exist.
    """

    @public
    @wraps(view)
    def checked(source: str) -> R:
        known = settings().sources.get(source)
        if known is None:
            raise NotFound(f"there is no source {source[:64]!r}; give [sources.<name>] in the configuration")
        body = request.get_data()
        check_signature([one.get_secret_value() for one in known.secrets], request.headers, body)
        return view(source, body)

    return checked
