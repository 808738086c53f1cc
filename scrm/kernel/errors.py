"""Errors a caller can act on; the edge turns them into RFC 9457 problem documents."""

from __future__ import annotations

from collections.abc import Mapping


class ScrmError(Exception):
    """A refusal with a reason.

    :param code: stable name of the kind of error, in kebab-case
    :param message: one sentence for a person, with the way out
    :param status: HTTP status the edge answers with
    :param fields: for bad input, the offending field's path and what would be right
    """

    status = 400
    code = "bad-request"

    def __init__(
        self, message: str, *, fields: Mapping[str, str] | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.fields = dict(fields or {})
        if code:
            self.code = code


class InvalidInput(ScrmError):  # noqa: N818  # reads as a statement where it is raised
    """The request is understood and wrong; ``fields`` names what."""

    status = 422
    code = "invalid-input"

    @classmethod
    def field(cls, path: str, problem: str) -> InvalidInput:
        """One field is wrong: ``InvalidInput.field("name", "must be at most 30 characters")``."""
        return cls(f"{path}: {problem}", fields={path: problem})


class NotFound(ScrmError):  # noqa: N818
    """What the address names does not exist (or lies outside the caller's data scope)."""

    status = 404
    code = "not-found"


class Conflict(ScrmError):  # noqa: N818
    """The present state does not allow this; the message says which state would."""

    status = 409
    code = "conflict"


class Unauthorized(ScrmError):  # noqa: N818
    """Nobody known is asking."""

    status = 401
    code = "unauthorized"


class Forbidden(ScrmError):  # noqa: N818
    """Somebody known is asking, without the permission."""

    status = 403
    code = "forbidden"


class Unavailable(ScrmError):  # noqa: N818
    """A store cannot be reached now; ask again."""

    status = 503
    code = "unavailable"
