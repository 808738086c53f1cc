"""Files of the copy that a reader could not read: it says so beside them, and a worker looks whether they are spoiled.

The reader may be wrong (too many open files), so that nothing is removed on its word.
"""

from __future__ import annotations

from pathlib import Path

import structlog

from tags.columns.service.duck import opened, quoted
from tags.columns.service.shelf import Chunk, Copy, folder

MARK = ".doubted"  # ends the name of an empty file beside the one that is doubted
MEGABYTES = 64  # for reading a file block by block
log = structlog.get_logger(__name__)


def doubt(file: str) -> None:
    """Say that a file that is there cannot be read. Where the folder cannot be written either, only the log knows."""
    path = folder() / file
    try:
        if path.exists():
            _mark(file).touch(mode=0o600)
    except OSError as error:
        log.warning("a file of the copy cannot be marked", file=file, error=type(error).__name__)


def doubted(copy: Copy) -> list[Chunk]:
    """The parts on the list whose file somebody could not read."""
    return [each for each in copy.chunks if _mark(each.file).exists()]


def trust(file: str) -> None:
    """Take back what was said of a file."""
    _mark(file).unlink(missing_ok=True)


def fault(file: str) -> str | None:
    """The name of the error with which reading every block of a file ends; None: it can be read, or is gone."""
    from duckdb import Error

    if not (folder() / file).exists():
        return None
    try:
        with opened(MEGABYTES) as duck:
            duck.execute(f"ATTACH {quoted(folder() / file)} AS doubted (READ_ONLY)")
            tables = duck.execute(_TABLES).fetchall()
            for (table,) in tables:
                duck.execute(f'SELECT bit_xor(hash(each)) FROM doubted."{table}" AS each').fetchall()  # noqa: S608  # our names
    except (Error, OSError) as error:
        return type(error).__name__
    return None


_TABLES = "SELECT table_name FROM duckdb_tables() WHERE database_name = 'doubted' ORDER BY table_name"


def is_of_a_file(error: Exception) -> bool:
    """Whether an error of DuckDB tells of a file: a block whose checksum is wrong is a bare ``Error``."""
    from duckdb import Error, FatalException, InternalException, IOException, SerializationException

    told = (FatalException, InternalException, IOException, SerializationException, OSError)
    return type(error) is Error or isinstance(error, told)


def _mark(file: str) -> Path:
    return folder() / (file + MARK)
