"""DuckDB in this process, with the files of the copy attached."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog
from pyroaring import BitMap64

from scrm.kernel.kept import kept
from scrm.kernel.settings import settings
from tags.columns.service.doubting import doubt
from tags.columns.service.duck import opened, quoted
from tags.columns.service.shelf import Copy, folder, list_mark, read_copy

log = structlog.get_logger(__name__)


class TooLong(Exception):  # noqa: N818  # reads as a statement where it is caught
    """A question to the copy took longer than it may."""


class Reader:
    """The files on the list, attached under the names that :func:`alias` gives."""

    def __init__(self) -> None:
        self._connection = opened(settings().columns.memory_megabytes)
        self._lock = threading.Lock()
        self._mark: tuple[int, int] | None = None
        self._copy: Copy | None = None
        self._attached: set[str] = set()

    def copy(self) -> Copy | None:
        """What is on the list now, with every file of it attached; None: there is no copy."""
        mark = list_mark()
        if mark == self._mark:
            return self._copy
        with self._lock:
            copy = read_copy()
            self._attach({each.file for each in copy.chunks} if copy else set())
            self._copy, self._mark = copy, mark
        return copy

    def _attach(self, files: set[str]) -> None:
        """Questions that are being answered keep what they read, also when it is detached.

        A file that cannot be read is left out, until a worker has looked at it: questions that need it are PostgreSQL's,
        others are answered.
        """
        from duckdb import Error

        for file in sorted(files - self._attached):
            try:
                self._connection.execute(f"ATTACH {quoted(folder() / file)} AS {alias(file)} (READ_ONLY)")
            except Error as error:
                log.warning("a file of the copy cannot be read", file=file, error=type(error).__name__)
                doubt(file)
            else:
                self._attached.add(file)
        for file in self._attached - files:
            self._connection.execute(f"DETACH {alias(file)}")
        self._attached &= files

    def ids(self, statement: str, values: Sequence[Any], seconds: float) -> BitMap64:
        """The ids that a statement gives; as numpy's, of 8 bytes each: a million of Python's own take 120 MB and half of the time.

        :raises TooLong: after so many seconds
        """
        from duckdb import InterruptException

        cursor = self._connection.cursor()
        alarm = threading.Timer(seconds, cursor.interrupt)
        alarm.start()
        try:
            (found,) = cursor.execute(statement, list(values)).fetchnumpy().values()
        except InterruptException:
            raise TooLong from None
        finally:
            alarm.cancel()
            cursor.close()
        return BitMap64(array("Q", found.astype("uint64").tobytes()))


def alias(file: str) -> str:
    """The name under which a file is attached: ``events-2026-10-0123abcd.duckdb`` is ``events_2026_10_0123abcd``."""
    return Path(file).stem.replace("-", "_")


def reader() -> Reader:
    """That of this process."""
    return kept("scrm_columns", Reader)
