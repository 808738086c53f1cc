# ruff: noqa: N818  # the classes read as statements where they are raised and caught
"""How a call of WeCom can go wrong: nine classes, and jobs decide by class only.

The classes say what may be done next. Which errcode belongs to which class stands in :mod:`scrm.wecom.error_table`.
No message here ever carries a token, a secret or WeCom's own ``errmsg`` (it repeats addresses and ids).
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from scrm.wecom.error_table import Row, row_of


class ErrorKind(StrEnum):
    """The class of a failure."""

    RETRYABLE = "retryable"  # not done; the same call may be made again soon
    TOKEN_EXPIRED = "token_expired"  # noqa: S105  # the token is refused even though it was just renewed
    RATE_LIMITED = "rate_limited"  # not done; the API is closed for us for a while
    BUSY = "busy"  # not done; too many calls of this API at once
    STOP = "stop"  # refused for what it says; again would be refused again
    NOT_FOUND = "not_found"  # what it names does not exist at WeCom
    DENIED = "denied"  # a permission or setting is missing; an admin can mend it
    UNCLEAR = "unclear"  # the request left and no answer tells whether WeCom took it


PASSING = frozenset(
    {
        ErrorKind.RETRYABLE,
        ErrorKind.TOKEN_EXPIRED,
        ErrorKind.RATE_LIMITED,
        ErrorKind.BUSY,
        ErrorKind.UNCLEAR,
    }
)
"""Classes that pass by themselves; a read may simply be repeated later."""


class WecomError(Exception):
    """A call of WeCom that did not end with errcode 0.

    :param api: path below ``/cgi-bin/``
    :param errcode: WeCom's code; None when no answer could be read
    :param reason: what happened, for people and for the effect row; no ids, no secrets
    :param retry_after: seconds after which a repetition makes sense, when that is known
    """

    kind: ClassVar[ErrorKind]

    def __init__(
        self, api: str, errcode: int | None, reason: str, *, retry_after: float | None = None
    ) -> None:
        code = "no answer" if errcode is None else f"errcode {errcode}"
        super().__init__(f"{api}: {code}: {reason}")
        self.api = api
        self.errcode = errcode
        self.errmsg = reason
        self.retry_after = retry_after
        self.from_ip: str | None = None  # the address WeCom saw us call from, when it said so
        self.outage = False  # WeCom does not answer at this API at all: nothing is held against this call

    @property
    def passing(self) -> bool:
        """Whether this goes by itself, so that a read may be repeated later."""
        return self.kind in PASSING


class Retryable(WecomError):
    """Not done; the same call may be made again soon."""

    kind = ErrorKind.RETRYABLE


class TokenExpired(WecomError):
    """The access token is refused, and renewing it did not help (or was done too often already)."""

    kind = ErrorKind.TOKEN_EXPIRED


class RateLimited(WecomError):
    """WeCom's limit for this API is reached; closed for a minute, an hour or a day."""

    kind = ErrorKind.RATE_LIMITED


class Deferred(RateLimited):
    """Our own governor put the call off before it left: waiting for a turn would take too long."""


class Busy(WecomError):
    """Too many calls of this API at once."""

    kind = ErrorKind.BUSY


class Stop(WecomError):
    """Refused for what it says; never repeated by itself."""

    kind = ErrorKind.STOP


class NotFound(WecomError):
    """What the call names does not exist at WeCom (any more)."""

    kind = ErrorKind.NOT_FOUND


class Denied(WecomError):
    """A permission or a setting is missing; ``explain(errcode)`` names the console page."""

    kind = ErrorKind.DENIED


class Unclear(WecomError):
    """The request left and no readable answer came: WeCom may or may not have done it."""

    kind = ErrorKind.UNCLEAR


CLASSES: dict[ErrorKind, type[WecomError]] = {
    each.kind: each for each in (Retryable, TokenExpired, RateLimited, Busy, Stop, NotFound, Denied, Unclear)
}


def kind_of(errcode: int) -> ErrorKind:
    """The class of an errcode; one this program does not know is STOP, because repeating it helps nobody."""
    row = row_of(errcode)
    return ErrorKind(row.kind) if row else ErrorKind.STOP


def explain(errcode: int) -> Row | None:
    """What an errcode means in English and Chinese and where in the console it is mended; None when unknown."""
    return row_of(errcode)


def error_for(api: str, errcode: int) -> WecomError:
    """The exception for an answer with ``errcode``."""
    row = row_of(errcode)
    reason = row.en if row else "a code this program does not know"
    return CLASSES[kind_of(errcode)](api, errcode, reason)
