"""Exit codes, and how an expected error is said: one sentence on stderr with the way out."""

from __future__ import annotations

import sys

import click

WELL = 0
PROBLEM = 1  # the command ran and found something wrong
WRONG_USE = 2  # wrong configuration or arguments; nothing was started


class Problem(Exception):  # noqa: N818  # reads as a statement where it is raised
    """A command found something that a person must mend; the message is one sentence with the way out."""


def say_error(error: Exception) -> int | None:
    """Say an expected error on stderr; returns the exit code, or None for an error nobody expected."""
    found = _explain(error)
    if found is None:
        return None
    code, message = found
    click.echo(f"scrm: {message}", err=True)
    return code


def _explain(error: Exception) -> tuple[int, str] | None:
    from config.settings import SettingsError
    from scrm.kernel.errors import InvalidInput, ScrmError

    if isinstance(error, SettingsError):
        return WRONG_USE, str(error)
    if isinstance(error, InvalidInput):
        return WRONG_USE, error.message
    if isinstance(error, ScrmError):
        return PROBLEM, error.message
    if isinstance(error, Problem):
        return PROBLEM, str(error)
    return _explain_store(error)


def _explain_store(error: Exception) -> tuple[int, str] | None:
    """Errors of stores that went away. Their libraries are large and are loaded already if they raised."""
    if isinstance(error, _loaded("sqlalchemy.exc", "OperationalError")):
        return (
            PROBLEM,
            f"database_url: PostgreSQL does not answer ({first_line(getattr(error, 'orig', None) or error)})",
        )
    if isinstance(error, _loaded("redis.exceptions", "RedisError")):
        return PROBLEM, f"redis_url: Redis/Valkey does not answer ({first_line(error)})"
    return None


def _loaded(module: str, name: str) -> tuple[type[Exception], ...]:
    found = sys.modules.get(module)
    return (getattr(found, name),) if found else ()


def first_line(error: BaseException) -> str:
    """The first line of an error's text; drivers add hints and addresses below it."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
