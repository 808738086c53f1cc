"""Looks at the database that may be slow or fail on their own account: bounded in time, in a savepoint of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.errors import QueryCanceled
from sqlalchemy import text
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)

from scrm.kernel.db import session


class TooSlow(DBAPIError):  # noqa: N818  # reads as a statement where it is raised
    """PostgreSQL stopped a look that took longer than it may."""


FAULTS = (DataError, ProgrammingError, InternalError, NotSupportedError, TooSlow)
"""The question's own faults; a lost connection is none."""


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """A look that takes at most so long; without JIT, whose compiling costs more than a hundred columns save.

    :raises TooSlow: when PostgreSQL stopped it; the transaction goes on as before
    """
    try:
        with session().begin_nested():
            session().execute(text("SET LOCAL jit = off"))
            session().execute(
                text("SET LOCAL work_mem = '64MB'")
            )  # sets of a million ids are hashed, not searched
            session().execute(text(f"SET LOCAL statement_timeout = {int(seconds * 1000)}"))
            yield
            session().execute(text("SET LOCAL statement_timeout TO DEFAULT"))
    except OperationalError as error:
        if isinstance(error.orig, QueryCanceled):
            raise TooSlow(error.statement, error.params, error.orig) from error
        raise


def told(error: DBAPIError, seconds: float) -> str:
    """What went wrong, in one line."""
    if isinstance(error, TooSlow):
        return f"it took longer than {seconds:g} seconds"
    return str(error.orig).splitlines()[0][:200]
