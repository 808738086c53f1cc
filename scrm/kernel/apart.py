"""A piece of work set apart: whatever it raises belongs to that piece, and its neighbours go on.

Handlers, subscribers and questions of the clock are many packages' code, so a defect there may raise anything. This is
the one place beside the job wrapper (:func:`scrm.kernel.jobs.perform`) and the error handlers of HTTP and the commands
that takes any error; who uses it writes the error down on the row it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

AWAY_STATES = (
    "08",
    "57P",
    "53300",
)  # SQLSTATE: connection trouble, shutting down or starting, no connection left


def store_away(error: BaseException) -> bool:
    """Whether PostgreSQL is away or went away: no piece's fault, and none can be written down now.

    A statement that was cancelled, waited too long for a lock or met a deadlock is not: that is what was asked.
    """
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    return state is None or state.startswith(AWAY_STATES)


class Apart:
    """``with Apart() as piece:`` keeps what the body raises as ``piece.error`` instead of raising it.

    :param passes: errors that are not the piece's and go on, by default those of a database that is away; ends of the
        process (``KeyboardInterrupt``, ``SystemExit``) always do
    """

    def __init__(self, passes: Callable[[Exception], bool] = store_away) -> None:
        self.error: Exception | None = None
        self._passes = passes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception) or self._passes(error):
            return False
        self.error = error
        return True
