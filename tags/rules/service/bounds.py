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
    """A look that takes at most so long.

    Without JIT, whose compiling costs more than a hundred columns save; with a plan for this look's own values, because
    conditions of one shape (any tag, any name) differ by thousands of times in how many customers they mean.

    :raises TooSlow: when PostgreSQL stopped it; the transaction goes on as before
    """
    try:
        with session().begin_nested():
            session().execute(_BEGIN, {"timeout": f"{int(seconds * 1000)}ms"})
            yield
            session().execute(_END)
    except OperationalError as error:
        if isinstance(error.orig, QueryCanceled):
            raise TooSlow(error.statement, error.params, error.orig) from error
        raise


_BEGIN = text(
    "SELECT set_config('jit', 'off', true), set_config('work_mem', '64MB', true), "  # sets of a million ids are hashed
    "set_config('plan_cache_mode', 'force_custom_plan', true), set_config('statement_timeout', :timeout, true)"
)
_END = text("SET LOCAL statement_timeout TO DEFAULT; SET LOCAL plan_cache_mode TO DEFAULT")


def told(error: DBAPIError, seconds: float) -> str:
    """What went wrong, in one line."""
    if isinstance(error, TooSlow):
        return f"it took longer than {seconds:g} seconds"
    return str(error.orig).splitlines()[0][:200]
