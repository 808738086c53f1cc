"""DuckDB in this process: in memory, and reaching for nothing but the files it is told of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrm.kernel.settings import settings

if TYPE_CHECKING:
    import duckdb


def opened(megabytes: int, spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB with nothing in it, which never asks the network for anything.

    :param megabytes: what it may take of memory
    :param spill: where it writes what does not fit; None: nowhere, and whatever needs more fails. Who may spill writes
        sorted tables and keeps the order of rows; who may not asks questions, which are quicker without
    """
    import duckdb  # takes a fifth of a second, and most processes never need it

    config: dict[str, Any] = {
        "threads": settings().columns.threads,
        "memory_limit": f"{megabytes}MB",
        "temp_directory": str(spill or ""),
        "preserve_insertion_order": spill is not None,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    return duckdb.connect(":memory:", config=config)


def quoted(path: Path | str) -> str:
    """As a text in DuckDB's SQL."""
    return "'" + str(path).replace("'", "''") + "'"
