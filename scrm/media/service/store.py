"""Where the bytes lie: a folder of ours, or any object store that speaks S3; one library serves both."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from obstore.store import LocalStore, S3Store

from config.settings import Media
from scrm.kernel.kept import kept
from scrm.kernel.settings import settings

if TYPE_CHECKING:
    from obstore.store import S3Config

EXTENSION = "scrm_media_store"
TIMEOUT = "20s"
RETRIES = 2


class MediaStore:
    """Bytes by the digest of their content: writing twice is writing once, nothing is ever changed. Thread-safe."""

    def __init__(self, store: LocalStore | S3Store) -> None:
        self._store = store

    def put(self, sha256: str, content: bytes) -> None:
        """Keep ``content``; raises OSError or obstore's BaseError when it could not be kept."""
        self._store.put(_path(sha256), content)

    def get(self, sha256: str) -> bytes:
        """The content; raises FileNotFoundError when somebody removed it."""
        return bytes(self._store.get(_path(sha256)).bytes())

    def remove(self, sha256: str) -> None:
        """Forget the content; no error when it is gone already."""
        with suppress(FileNotFoundError):  # a folder says so, a bucket does not
            self._store.delete(_path(sha256))


def media_store() -> MediaStore:
    """The store of the running program; needs an app context."""
    return kept(EXTENSION, lambda: MediaStore(open_store(settings().media)))


def open_store(conf: Media) -> LocalStore | S3Store:
    """The folder or bucket that the settings name."""
    if not conf.url:
        folder = settings().var_dir / "media"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return LocalStore(folder)
    given: S3Config = {
        "endpoint": conf.endpoint,
        "region": conf.region,
        "access_key_id": conf.access_key,
        "secret_access_key": conf.secret_key.get_secret_value(),
    }
    config: Any = {name: value for name, value in given.items() if value}  # the rest says the environment
    config["disable_bulk_delete"] = True  # we delete one at a time, and not every store knows bulk deletion
    allow_http = conf.endpoint.startswith("http://")
    return S3Store.from_url(
        conf.url,
        config=config,
        client_options={"timeout": TIMEOUT, "allow_http": allow_http},
        retry_config={"max_retries": RETRIES},
    )


def _path(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}"
