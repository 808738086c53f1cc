"""Files that are made once, fetched for some days and removed, such as exports: under names of their own, in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import IO

from obstore.store import LocalStore, S3Store

from scrm.kernel.kept import kept
from scrm.kernel.settings import settings
from scrm.media.service.store import open_store

EXTENSION = "scrm_file_store"
PIECE = 1024 * 1024  # bytes at once in memory


class FileStore:
    """Files by name, beside the media library. A file written twice is the last one. Thread-safe."""

    def __init__(self, store: LocalStore | S3Store) -> None:
        self._store = store

    def put(self, name: str, file: IO[bytes]) -> None:
        """Keep what a file holds from its beginning; raises OSError or obstore's BaseError when it could not be kept."""
        file.seek(0)
        self._store.put(name, file)

    def pieces(self, name: str) -> Iterator[bytes]:
        """The content in pieces; raises FileNotFoundError at once when there is none."""
        found = self._store.get(name)
        return (bytes(piece) for piece in found.stream(min_chunk_size=PIECE))

    def remove(self, name: str) -> None:
        """Forget the file; no error when it is gone already."""
        with suppress(FileNotFoundError):  # a folder says so, a bucket does not
            self._store.delete(name)


def file_store() -> FileStore:
    """The store of the running program; needs an app context."""
    return kept(EXTENSION, lambda: FileStore(open_store(settings().media)))
