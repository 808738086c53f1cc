"""Which API paths exist, and the call object their handlers get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scrm.sandbox.model.world import App, World
    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]
CONTACT = "externalcontact"


@dataclass(slots=True)
class Call:
    """One API call after token and limits; `environ` is the WSGI environment, for uploads."""

    sandbox: Sandbox
    app: App
    query: dict[str, str]
    body: Json
    ip: str
    environ: Json
    raw: bytes

    @property
    def world(self) -> World:
        """The corp; its lock is held while the handler runs."""
        return self.sandbox.world


Handler = Callable[[Call], Json]


@dataclass(frozen=True, slots=True)
class Api:
    """One path below /cgi-bin/: allowed methods, the feature the app needs, whether a token is needed."""

    path: str
    methods: frozenset[str]
    feature: str | None
    handler: Handler
    needs_token: bool = True
    upload: bool = False


REGISTRY: dict[str, Api] = {}


def api(
    path: str,
    methods: str = "POST",
    feature: str | None = CONTACT,
    needs_token: bool = True,
    upload: bool = False,
) -> Callable[[Handler], Handler]:
    """Register a handler; `methods` is space separated."""

    def register(handler: Handler) -> Handler:
        REGISTRY[path] = Api(path, frozenset(methods.split()), feature, handler, needs_token, upload)
        return handler

    return register
